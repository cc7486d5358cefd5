package store

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
)

// scans lists where SQLite may scan all rows: a step of its plan, a piece of the
// statement, and the reason. Every other statement finds its rows by an index, so
// that its cost depends only on the rows it returns.
var scans = []struct{ step, statement, why string }{
	{"SCAN router", "", "a server has one"},
	{"SCAN r", "FROM router r", "a server has one"},
	{"SCAN k", "FROM access_key WHERE id = $1", "the subquery finds one row"},
	{"SCAN webhook", "", "there are 100 at most"},
	{"SCAN data_key", "", "one for each rotation of the master key"},
	{"SCAN pending_deployment", "", "services with a push while they deploy"},

	{"SCAN iam_user", "ORDER BY name", "the list is of all: IAM's paths are chosen from it"},
	{"SCAN iam_policy", "ORDER BY name", "the list is of all: IAM's paths and scopes are chosen from it"},
	{"SCAN repository", "ORDER BY name", "the list is of all, mixed with those that were only pushed to"},
	{"SCAN secret", "ORDER BY created_at, arn", "the list is of all: Secrets Manager's filters and orders are chosen from it"},
	{"SCAN audit USING INDEX audit_order", "LIMIT", "from the newest on to a full page; there are 100,000 at most"},

	{"SCAN certificate", "ORDER BY name", "the list is of all: they are compared with the names that are wanted"},
	{"SCAN h USING COVERING INDEX", "'binding_certificate', 'active'", "the list is of nearly all: claims that are not proved end"},
	{"SCAN tls_lock", "DELETE", "one for each order under way, at the start"},

	{"SCAN release USING COVERING INDEX release_at_work", "UNION", "all entries are asked for"},
	{"SCAN instance USING COVERING INDEX", "UNION", "all entries are asked for"},

	{"SCAN connection USING COVERING INDEX", "count(*)", "of the entries of an index, at a creation"},
	{"SCAN service USING COVERING INDEX", "count(*)", "of the entries of an index, at a creation"},
	{"SCAN vpc_connector USING COVERING INDEX", "count(*)", "of the entries of an index, at a creation"},

	{"SCAN release", "SELECT DISTINCT image", "housekeeping"},
	{"SCAN past_release", "SELECT DISTINCT image", "housekeeping"},
	{"SCAN audit USING COVERING INDEX", "GROUP BY username", "housekeeping"},
	{"SCAN bus_event", "DELETE", "housekeeping"},
	{"SCAN service", "deleted_at < $1", "housekeeping"},
	{"SCAN autoscaling", "deleted_at < $1", "housekeeping"},
	{"SCAN observability", "deleted_at < $1", "housekeeping"},
	{"SCAN vpc_connector", "deleted_at < $1", "housekeeping"},
	{"SCAN vpc_ingress_connection", "deleted_at < $1", "housekeeping"},
}

// TestPlans lets SQLite explain every statement of this package.
func TestPlans(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	err := s.Update(t.Context(), func(tx *Tx) error {
		for range 2 { // the second pass finds the rows that the first one wrote
			callAll(tx)
			callRare(tx)
		}
		statements := slices.Sorted(maps.Keys(tx.conn.stmts))
		for _, text := range texts(t) {
			if !slices.ContainsFunc(statements, func(q string) bool { return strings.Contains(q, text) }) {
				t.Errorf("no statement that was prepared holds %q: callRare must reach it", text)
			}
		}
		used := make([]bool, len(scans))
		for _, q := range statements {
			for _, step := range plan(t, tx, q) {
				may := slices.IndexFunc(scans, func(c struct{ step, statement, why string }) bool {
					return strings.HasPrefix(step+" ", c.step+" ") && strings.Contains(q, c.statement)
				})
				if may >= 0 {
					used[may] = true
				} else if strings.HasPrefix(step, "SCAN ") && step != "SCAN CONSTANT ROW" {
					t.Errorf("%s:\n%s", q, step)
				}
			}
		}
		for i, c := range scans {
			if !used[i] {
				t.Errorf("no statement needs the exception %+v", c)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// callAll calls every method of a transaction and ignores the results: a statement
// is explained once it was prepared.
func callAll(tx *Tx) {
	v := reflect.ValueOf(tx)
	for i := range v.NumMethod() {
		m := v.Method(i)
		args := make([]reflect.Value, m.Type().NumIn())
		for n := range args {
			args[n] = filled(m.Type().In(n))
		}
		m.Call(args)
	}
}

// filled returns a value of the type: texts are "x", numbers 1 and times t0.
func filled(typ reflect.Type) reflect.Value {
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Slice:
		v.Set(reflect.Append(v, filled(typ.Elem())))
	case reflect.Struct:
		if typ == reflect.TypeFor[time.Time]() {
			return reflect.ValueOf(t0)
		}
		for i := range typ.NumField() {
			if typ.Field(i).IsExported() {
				v.Field(i).Set(filled(typ.Field(i).Type))
			}
		}
	}
	return v
}

// callRare runs the statements that callAll does not reach.
func callRare(tx *Tx) {
	later := t0.Add(time.Hour)
	service := filled(reflect.TypeFor[slipway.Service]()).Interface().(slipway.Service)
	operation := filled(reflect.TypeFor[slipway.Operation]()).Interface().(slipway.Operation)
	tx.InsertService(service)
	tx.InsertOperation(operation)
	tx.ForgetOperations(operation.ServiceID, 0)
	tx.InsertOperation(operation)
	tx.bumpRoutes()
	tx.RoutesSince(0)
	tx.SetStatus(service.ID, slipway.StatusDeleted, t0)
	tx.ForgetServices(later)

	tx.InsertDelivery("x", slipway.BusEvent{ID: slipway.NewID()})
	due, _ := tx.DueDeliveries("x", later, 1)
	for _, d := range due {
		d.State = slipway.DeliveryDead
		tx.SaveDelivery(d)
	}
	tx.exec(`UPDATE sqlite_sequence SET seq = 999 WHERE name = 'event'`)
	tx.InsertEvent(slipway.Event{})

	for i := range reflect.TypeFor[AuditQuery]().NumField() {
		q := AuditQuery{Limit: 1}
		f := reflect.ValueOf(&q).Elem().Field(i)
		f.Set(filled(f.Type()))
		tx.Audit(q)
	}
	tx.PutAudit(slipway.AuditRecord{ID: "x", User: "ann"})
	tx.ForgetAuditOf("ann", 1)
	for kind := range livings {
		tx.Made(kind, "x")
	}
}

var placeholder = regexp.MustCompile(`\$[0-9]+`)

// plan returns the steps of SQLite's plan for a statement.
func plan(t *testing.T, tx *Tx, statement string) []string {
	t.Helper()
	if strings.HasPrefix(statement, "BEGIN") || strings.Contains(statement, "sqlite_sequence") {
		return nil
	}
	args := make([]any, len(slices.Compact(slices.Sorted(slices.Values(placeholder.FindAllString(statement, -1))))))
	steps, err := all(tx, func(s scanner) (detail string, err error) {
		var id, parent, unused int
		err = s.Scan(&id, &parent, &unused, &detail)
		return detail, err
	}, "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Errorf("%s: %v", statement, err)
	}
	return steps
}

var sqlForm = regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE|WHERE|AND|ORDER BY) `)

// texts returns the pieces of SQL in the source of this package.
func texts(t *testing.T) (list []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && sqlForm.MatchString(text) {
					list = append(list, text)
				}
			}
			return true
		})
	}
	return list
}
