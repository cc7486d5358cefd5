package image

// Local returns the repository and tag of this server's registry that ref
// means, if it means one. A name without a registry's host means both this
// registry and Docker Hub; here it means this registry.
func (s *Store) Local(ref string) (repository, tag string, ok bool) {
	t, err := s.resolve(ref)
	if err != nil || len(t.local) == 0 || t.digest != "" {
		return "", "", false
	}
	return t.local[0], t.tag, true
}
