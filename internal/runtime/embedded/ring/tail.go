package ring

import "io"

// Tail returns the last most bytes of the output of a ring whose writer has ended.
func Tail(file0, file1 io.ReaderAt, most int) ([]byte, error) {
	r := NewReader([2]io.ReaderAt{file0, file1})
	newer, older, err := r.order()
	if err != nil || newer.turn == 0 {
		return nil, err
	}
	end, err := r.tail(newer, most)
	if err != nil || len(end) >= most || older.turn == 0 {
		return end, err
	}
	before, err := r.tail(older, most-len(end))
	return append(before, end...), err
}

// tail returns the last most bytes of one file's frames.
func (r *Reader) tail(at place, most int) ([]byte, error) {
	b := make([]byte, largeBlock)
	var last []byte
	for {
		n, err := r.files[at.file].ReadAt(b, at.offset)
		if err != nil && err != io.EOF {
			return nil, err
		}
		used := 0
		for {
			h, ok := parseFrameHeader(b[used:n])
			if !ok || n-used < frameHeaderSize+h.size {
				break
			}
			last = append(last, b[used+frameHeaderSize:][:h.size]...)
			last = last[max(len(last)-most, 0):]
			used += frameHeaderSize + h.size
		}
		if used == 0 {
			return last, nil
		}
		at.offset += int64(used)
	}
}
