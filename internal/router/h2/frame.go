package h2

import (
	"cmp"

	"golang.org/x/net/http2"
)

// connError returns an error that ends the connection.
func connError(code http2.ErrCode) error { return http2.ConnectionError(code) }

// streamError returns an error that ends a stream.
func streamError(id uint32, code http2.ErrCode) error {
	return http2.StreamError{StreamID: id, Code: code}
}

// handle does what a frame says.
func (s *Session) handle(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return s.onHeaders(f)
	case *http2.DataFrame:
		return s.onData(f)
	case *http2.RSTStreamFrame:
		return s.onReset(f)
	case *http2.WindowUpdateFrame:
		return s.onWindow(f)
	case *http2.SettingsFrame:
		return s.onSettings(f)
	case *http2.PingFrame:
		return s.onPing(f)
	case *http2.PriorityFrame:
		return s.onPriority(f)
	case *http2.PushPromiseFrame, *http2.ContinuationFrame:
		return connError(http2.ErrCodeProtocol)
	case *http2.GoAwayFrame:
		return nil // it sends no further request
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waste() // of a type that is not known
}

// refuse ends a stream that a client has used wrongly.
func (s *Session) refuse(e http2.StreamError) error {
	s.mu.Lock()
	st := s.streams[e.StreamID]
	s.last = max(s.last, e.StreamID)
	err := s.waste()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if st != nil {
		s.forget(st)
		st.drop()
	}
	return s.send(func() error { return s.frames.WriteRSTStream(e.StreamID, e.Code) })
}

// known returns the stream of a frame that must not be the first of one. It returns nil for
// one that has ended. mu is held.
func (s *Session) known(id uint32) (*Stream, error) {
	if id > s.last || id%2 == 0 {
		return nil, connError(http2.ErrCodeProtocol)
	}
	return s.streams[id], nil
}

func (s *Session) onData(f *http2.DataFrame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.known(f.StreamID)
	if err != nil {
		return err
	}
	size := int64(f.Length) // with its padding
	if s.received -= size; s.received < 0 {
		return connError(http2.ErrCodeFlowControl)
	}
	if len(f.Data()) == 0 && !f.StreamEnded() {
		if err := s.waste(); err != nil {
			return err
		}
	}
	if st == nil || st.ended {
		s.used(int(size))
		return streamError(f.StreamID, http2.ErrCodeStreamClosed)
	}
	if st.received -= size; st.received < 0 {
		s.used(int(size))
		return streamError(f.StreamID, http2.ErrCodeFlowControl)
	}
	data := f.Data()
	s.used(int(size) - len(data))
	st.unused += int(size) - len(data)
	if err := st.receive(data, f.StreamEnded()); err != nil {
		s.used(len(data))
		return err
	}
	return nil
}

// used notes that received bytes have found their place, and tells the client now and then.
// mu is held.
func (s *Session) used(n int) {
	if s.unused += n; s.unused < connWindow/4 {
		return
	}
	n = s.unused
	s.unused, s.received = 0, s.received+int64(n)
	go s.send(func() error { return s.frames.WriteWindowUpdate(0, uint32(n)) }) // a client that does not read holds nobody up
}

func (s *Session) onReset(f *http2.RSTStreamFrame) error {
	s.mu.Lock()
	st, err := s.known(f.StreamID)
	if err == nil {
		err = s.waste()
	}
	s.mu.Unlock()
	if st != nil && err == nil {
		s.forget(st)
		st.drop()
	}
	return err
}

func (s *Session) onWindow(f *http2.WindowUpdateFrame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.waste(); err != nil {
		return err
	}
	if f.StreamID == 0 {
		if s.window += int64(f.Increment); s.window > 1<<31-1 {
			return connError(http2.ErrCodeFlowControl)
		}
		for _, st := range s.streams {
			st.wakeWriter()
		}
		return nil
	}
	st, err := s.known(f.StreamID)
	if st == nil {
		return err
	}
	if st.window += int64(f.Increment); st.window > 1<<31-1 {
		return streamError(f.StreamID, http2.ErrCodeFlowControl)
	}
	st.wakeWriter()
	return nil
}

func (s *Session) onSettings(f *http2.SettingsFrame) error {
	s.mu.Lock()
	err := s.waste()
	s.mu.Unlock()
	if f.IsAck() || err != nil {
		return err
	}
	if err := f.ForeachSetting(s.set); err != nil {
		return err
	}
	return s.send(s.frames.WriteSettingsAck)
}

func (s *Session) set(v http2.Setting) error {
	if err := v.Valid(); err != nil {
		return err
	}
	switch v.ID {
	case http2.SettingHeaderTableSize:
		s.write.Lock()
		defer s.write.Unlock()
		s.encoder.SetMaxDynamicTableSize(min(v.Val, maxTable))
	case http2.SettingInitialWindowSize:
		s.mu.Lock()
		defer s.mu.Unlock()
		more := int64(v.Val) - s.initial
		s.initial = int64(v.Val)
		for _, st := range s.streams {
			if st.window += more; st.window > 1<<31-1 {
				return connError(http2.ErrCodeFlowControl)
			}
			st.wakeWriter()
		}
	case http2.SettingMaxFrameSize:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.frameSize = min(int(v.Val), maxFrame)
	}
	return nil
}

func (s *Session) onPing(f *http2.PingFrame) error {
	if f.IsAck() {
		if f.Data == drainPing {
			s.finish()
		}
		return nil
	}
	s.mu.Lock()
	err := s.waste()
	s.mu.Unlock()
	return cmp.Or(err, s.send(func() error { return s.frames.WritePing(true, f.Data) }))
}

// onPriority ignores what RFC 9113 has taken back, but for what can't be meant.
func (s *Session) onPriority(f *http2.PriorityFrame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.StreamDep == f.StreamID {
		return streamError(f.StreamID, http2.ErrCodeProtocol)
	}
	return s.waste()
}
