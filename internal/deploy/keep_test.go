package deploy_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// The images of the releases that served before are in use, as many as are to be kept,
// until the service is deleted.
func TestImagesOfEarlierReleasesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCodeBench(t)
		spec := codeSpec("one")
		var served []string // images, the newest first
		r, _ := b.do(slipway.CreateService, &spec, slipway.OperationSucceeded)
		served = append(served, r.Image)
		for n := range 4 {
			spec := codeSpec(fmt.Sprint("branch ", n)) // the image of a branch has its name here
			r, _ := b.do(slipway.UpdateService, &spec, slipway.OperationSucceeded)
			served = slices.Insert(served, 0, r.Image)
		}
		inUse := func() (images []string, past []slipway.PastRelease) {
			if err := b.st.View(t.Context(), func(tx *store.Tx) (err error) {
				if images, err = tx.ImagesInUse(); err == nil {
					past, err = tx.PastReleases(b.id)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return images, past
		}
		images, past := inUse()
		for age, image := range served[:3] { // the active one and two earlier ones
			if !slices.Contains(images, image) || past[age].Image != image {
				t.Errorf("release %d has image %s; in use are %v, recorded %+v", age, image, images, past)
			}
		}
		if len(past) != 3 || slices.Contains(images, served[4]) {
			t.Errorf("in use are %v, recorded %+v", images, past)
		}
		b.do(slipway.DeleteService, nil, slipway.OperationSucceeded)
		time.Sleep(time.Minute)
		if images, past := inUse(); len(images)+len(past) > 0 {
			t.Errorf("after the deletion %v and %+v are in use", images, past)
		}
	})
}
