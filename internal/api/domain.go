package api

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// associateCustomDomain inserts a domain. The reply holds no validation records:
// App Runner's clients read them from DescribeCustomDomains.
func (a *API) associateCustomDomain(ctx context.Context, call *gateway.Call, in *apprunner.AssociateCustomDomainInput) (*apprunner.AssociateCustomDomainOutput, error) {
	d, err := a.newDomain(*in.DomainName, in.EnableWWWSubdomain == nil || *in.EnableWWWSubdomain)
	if err != nil {
		return nil, err
	}
	var out apprunner.AssociateCustomDomainOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		v, err := a.findLivingService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		if st := v.VisibleStatus(); st != slipway.StatusRunning {
			return wrongState("associated with a custom domain", st)
		}
		if err := a.admitDomain(tx, call, v.ID, d); err != nil {
			return err
		}
		seed, err := tx.Seed("custom domain", slipway.NewID()+slipway.NewID())
		if err != nil {
			return err
		}
		d.ServiceID = v.ID
		d.Records = validationRecords(seed, d)
		if err := tx.InsertCustomDomain(d); errors.Is(err, store.ErrHostTaken) {
			return slipway.Errorf(slipway.InvalidRequest, "%s is already associated with another service.", d.Name)
		} else if err != nil {
			return err
		}
		out.ServiceArn, out.DNSTarget, out.CustomDomain = &v.ARN, aws.String(a.host(v)), customDomain(d)
		out.VpcDNSTargets, err = a.vpcDNSTargets(tx, v)
		return err
	})
	return &out, err
}

// newDomain checks a domain's name and returns the new domain.
func (a *API) newDomain(name string, www bool) (slipway.CustomDomain, error) {
	if err := checkDomainName(name, www, a.cfg.Domain); err != nil {
		return slipway.CustomDomain{}, err
	}
	now := a.now()
	return slipway.CustomDomain{
		ID: slipway.NewID(), Name: name, WWW: www, CreatedAt: now,
		State: slipway.DomainCreating, Since: now, DueAt: now,
	}, nil
}

// admitDomain checks that the service can claim the domain. Any number of services may
// claim one until a claim is proved.
func (a *API) admitDomain(tx *store.Tx, call *gateway.Call, serviceID string, d slipway.CustomDomain) error {
	for _, host := range d.Hosts() {
		other, err := tx.OtherCustomDomain(serviceID, host)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		return hostTaken(tx, call, host, other)
	}
	n, err := tx.CountCustomDomains(serviceID)
	if err == nil && !within(a.cfg.Quotas.CustomDomains, n) {
		// The operation has no ServiceQuotaExceededException.
		err = slipway.Errorf(slipway.InvalidRequest,
			"The service has the %d custom domains that it may have. Disassociate one that it no longer needs.", n)
	}
	return err
}

// hostTaken returns the error that a host is used, which names the service to who may
// describe it. Copilot treats the message that begins with the domain as success, so a
// domain that is being deleted gets another message.
func hostTaken(tx *store.Tx, call *gateway.Call, host string, by slipway.CustomDomain) error {
	v, err := tx.Service(by.ServiceID)
	if err != nil {
		return err
	}
	named, err := call.Permits(tx, gateway.Permission{Action: "apprunner:DescribeService", Resource: v.ARN})
	if err != nil {
		return err
	}
	if !named {
		return slipway.Errorf(slipway.InvalidRequest, "%s is already associated with another service.", host)
	}
	if by.Status() == slipway.DomainDeleting {
		return slipway.Errorf(slipway.InvalidState, "%s is being disassociated from %s. Try again in a moment.", host, v.ARN)
	}
	return slipway.Errorf(slipway.InvalidRequest, "%s is already associated with %s", host, v.ARN)
}

// disassociateCustomDomain marks a domain for deletion. The reply holds its
// validation records, because clients such as Copilot use it to remove them from
// DNS. A repeated call gets the same reply until the domain is deleted.
func (a *API) disassociateCustomDomain(ctx context.Context, call *gateway.Call, in *apprunner.DisassociateCustomDomainInput) (*apprunner.DisassociateCustomDomainOutput, error) {
	var out apprunner.DisassociateCustomDomainOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		v, err := a.findLivingService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		if st := v.VisibleStatus(); st != slipway.StatusRunning {
			return wrongState("disassociated from a custom domain", st)
		}
		d, err := tx.CustomDomain(v.ID, *in.DomainName)
		if errors.Is(err, store.ErrNotFound) {
			return slipway.Errorf(slipway.NotFound, "No custom domain %s found for the provided service", *in.DomainName)
		}
		if err != nil {
			return err
		}
		if err := tx.RemoveCustomDomain(d, a.now()); err != nil {
			return err
		}
		d.RemovedAt = a.now()
		out.ServiceArn, out.DNSTarget, out.CustomDomain = &v.ARN, aws.String(a.host(v)), customDomain(d)
		out.VpcDNSTargets, err = a.vpcDNSTargets(tx, v)
		return err
	})
	return &out, err
}

// DescribeCustomDomainsOutput is App Runner's, with Certificates besides, which its clients
// pass over.
type DescribeCustomDomainsOutput struct {
	CustomDomains         []DescribedDomain
	DNSTarget, ServiceArn *string
	VpcDNSTargets         []types.VpcDNSTarget
	NextToken             *string
}

// DescribedDomain is App Runner's CustomDomain with Certificates.
type DescribedDomain struct {
	DomainName                   *string
	EnableWWWSubdomain           *bool
	Status                       types.CustomDomainAssociationStatus
	CertificateValidationRecords []types.CertificateValidationRecord
	Certificates                 []DescribedCertificate // absent if no authority is asked for some
}

// DescribedCertificate tells what became of the certificate for a name of a domain.
type DescribedCertificate struct {
	Name     *string
	Status   *string    // "requested", "failed", "issued" or "renewal failed"
	NotAfter *time.Time // of the one that is served; absent before the first
	Failure  *string    // in the authority's words; absent if all is well
	Advice   *string    // what to do about it
	NextAt   *time.Time // of the next attempt, if there is a Failure
}

func describedDomain(d slipway.CustomDomain, certs []slipway.Certificate) DescribedDomain {
	c := customDomain(d)
	out := DescribedDomain{
		DomainName: c.DomainName, EnableWWWSubdomain: c.EnableWWWSubdomain, Status: c.Status, CertificateValidationRecords: c.CertificateValidationRecords,
	}
	for _, host := range d.Hosts() {
		for _, c := range certs {
			if c.Name == host {
				out.Certificates = append(out.Certificates, describedCertificate(c))
			}
		}
	}
	return out
}

func describedCertificate(c slipway.Certificate) DescribedCertificate {
	out := DescribedCertificate{Name: &c.Name, Status: aws.String(string(c.State()))}
	if !c.NotAfter.IsZero() {
		out.NotAfter = &c.NotAfter
	}
	if c.Failure != "" {
		out.Failure, out.Advice, out.NextAt = &c.Failure, &c.Advice, &c.NextAt
	}
	return out
}

func (a *API) describeCustomDomains(ctx context.Context, _ *gateway.Call, in *apprunner.DescribeCustomDomainsInput) (*DescribeCustomDomainsOutput, error) {
	out := DescribeCustomDomainsOutput{CustomDomains: []DescribedDomain{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		v, err := a.findService(tx, *in.ServiceArn)
		if err != nil {
			return err
		}
		list, next, err := listByAge(page.New(in.MaxResults, "DescribeCustomDomains", v.ID), in.NextToken,
			func(at time.Time, id string, limit int) ([]slipway.CustomDomain, error) {
				return tx.CustomDomains(v.ID, at, id, limit)
			},
			func(d slipway.CustomDomain) (time.Time, string) { return d.CreatedAt, d.ID }, nil)
		if err != nil {
			return err
		}
		out.NextToken = next
		certs, err := tx.CertificatesOf(v.ID)
		if err != nil {
			return err
		}
		for _, d := range list {
			out.CustomDomains = append(out.CustomDomains, describedDomain(d, certs))
		}
		out.ServiceArn, out.DNSTarget = &v.ARN, aws.String(a.host(v))
		out.VpcDNSTargets, err = a.vpcDNSTargets(tx, v)
		return err
	})
	return &out, err
}

// customDomain returns a domain as App Runner shows it: without records while it
// is being created.
func customDomain(d slipway.CustomDomain) *types.CustomDomain {
	c := &types.CustomDomain{
		DomainName:         &d.Name,
		EnableWWWSubdomain: &d.WWW,
		Status:             types.CustomDomainAssociationStatus(d.Status()),
	}
	if d.Status() == slipway.DomainCreating {
		return c
	}
	for _, r := range d.Records {
		c.CertificateValidationRecords = append(c.CertificateValidationRecords, types.CertificateValidationRecord{
			Name: &r.Name, Value: &r.Value, Type: aws.String("CNAME"),
			Status: types.CertificateValidationRecordStatus(r.Status),
		})
	}
	return c
}
