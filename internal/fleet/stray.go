package fleet

import (
	"errors"
	"slices"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// isUnknown reports whether the store knows nothing of a service that instances were found of.
// It knew every service that it had instances started of: the row of a deleted one stays for an
// hour after its last instance has ended. So these are of a database that was lost, or of what
// came after the copy that this one is; see ADR 045.
func (f *Fleet) isUnknown(tx *store.Tx, service string, releases []slipway.Release, rows []slipway.Instance) (bool, error) {
	if f.cfg.RemoveStrays || len(releases)+len(rows) > 0 {
		return false, nil
	}
	_, err := tx.Service(service)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// tellStrays says which instances are left alone, each once.
func (f *Fleet) tellStrays(all map[string]planned) {
	var ids, services []string
	for service, p := range all {
		for _, o := range p.instances {
			if !o.stray || f.strays[o.row.ID] {
				continue
			}
			f.strays[o.row.ID] = true
			ids = append(ids, o.row.ID)
			if !slices.Contains(services, service) {
				services = append(services, service)
			}
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	slices.Sort(services)
	f.log.Warn("instances of services that the database does not know are left alone", "count", len(ids), "services", services, "instances", ids)
}
