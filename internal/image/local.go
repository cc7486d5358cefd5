package image

// Local returns the repository and tag of this server's registry that ref
// means, if it means one. A name without a registry's host means ours and
// Docker Hub's; what is pushed here is the newer of the two then.
func (s *Store) Local(ref string) (repository, tag string, ok bool) {
	t, err := s.resolve(ref)
	if err != nil || len(t.local) == 0 || t.digest != "" {
		return "", "", false
	}
	return t.local[0], t.tag, true
}
