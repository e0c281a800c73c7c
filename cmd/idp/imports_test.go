package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// importTable says what each package may import beside the standard library:
// packages of this module by their path under idp/, libraries by a prefix of
// their import path. Packages star around internal/idp; no sibling knows
// another, and only cmd/idp wires.
var importTable = map[string]struct {
	may      []string
	sentence string
}{
	"internal/idp":             {nil, "internal/idp holds the nouns: it imports the standard library only"},
	"internal/grants":          {[]string{"internal/idp", "github.com/ory/fosite"}, "internal/grants knows the nouns and fosite, no sibling"},
	"internal/tokens":          {[]string{"internal/idp", "github.com/go-jose/go-jose/v4"}, "internal/tokens knows the nouns and go-jose, no sibling"},
	"internal/discovery":       {nil, "internal/discovery imports the standard library only"},
	"internal/login":           {[]string{"internal/idp", "web"}, "internal/login knows the nouns and the pages, no sibling"},
	"internal/attributes":      {[]string{"internal/idp", "github.com/santhosh-tekuri/jsonschema/v6", "golang.org/x/text"}, "internal/attributes knows the nouns and JSON Schema, no sibling"},
	"internal/users":           {[]string{"internal/idp", "github.com/go-crypt/", "github.com/pquerna/otp", "github.com/boombuler/barcode", "github.com/go-webauthn/webauthn", "golang.org/x/net/idna"}, "internal/users knows the nouns and the libraries of hashes, codes, passkeys and domain names, no sibling"},
	"internal/admin":           {[]string{"internal/idp"}, "internal/admin knows the nouns only"},
	"internal/adminapi":        {[]string{"internal/idp", "internal/admin"}, "internal/adminapi is the face of internal/admin that HTTP has: it knows that service and the nouns only"},
	"internal/console":         {[]string{"internal/idp", "internal/admin", "internal/snippets", "web"}, "internal/console is the face of internal/admin that a browser has: it knows that service, the texts for developers, the nouns and the pages only"},
	"internal/declared":        {[]string{"internal/idp", "internal/admin", "go.yaml.in/yaml/v3"}, "internal/declared makes with internal/admin what is written in YAML: it knows that service, the nouns and the library only"},
	"internal/foreign":         {[]string{"internal/idp", "internal/admin", "internal/declared", "go.yaml.in/yaml/v3"}, "internal/foreign reads what others export as what is declared: it knows that, the rules of internal/admin and the nouns only"},
	"internal/registration":    {[]string{"internal/idp"}, "internal/registration knows the nouns only"},
	"internal/audit":           {[]string{"internal/idp", "golang.org/x/mod/sumdb"}, "internal/audit knows the nouns and the library of transparency logs, no sibling"},
	"internal/backchannel":     {[]string{"internal/idp"}, "internal/backchannel knows the nouns only"},
	"internal/mail":            {[]string{"internal/idp", "web", "github.com/wneessen/go-mail"}, "internal/mail knows the nouns, the words and the mail library, no sibling"},
	"internal/mail/mailtest":   {nil, "internal/mail/mailtest is a mail server for tests: it imports the standard library only"},
	"internal/metrics":         {[]string{"internal/idp", "github.com/prometheus/client_golang"}, "internal/metrics knows the nouns and the Prometheus client, no sibling"},
	"internal/acme":            {[]string{"internal/idp", "golang.org/x/crypto/acme"}, "internal/acme knows the nouns and the ACME library, no sibling"},
	"internal/tracing":         {[]string{"internal/idp", "go.opentelemetry.io/otel"}, "internal/tracing knows the nouns and OpenTelemetry, no sibling"},
	"internal/snippets":        {[]string{"internal/idp"}, "internal/snippets knows the nouns only"},
	"internal/decisions":       {[]string{"internal/idp"}, "internal/decisions knows the nouns only"},
	"internal/server":          {[]string{"internal/idp", "github.com/gorilla/mux", "github.com/rs/cors"}, "internal/server takes handlers and knows the request record, mux and cors only"},
	"internal/store":           {[]string{"internal/idp", "migrations", "github.com/jackc/pgx/v5", "modernc.org/sqlite", "github.com/pressly/goose/v3"}, "internal/store knows the nouns, the migrations and its drivers"},
	"internal/store/storetest": {[]string{"internal/store", "internal/idp", "github.com/jackc/pgx/v5"}, "internal/store/storetest opens stores for tests"},
	"internal/outbound":        {nil, "internal/outbound makes requests to foreign addresses: it imports the standard library only"},
	"internal/demo":            {[]string{"github.com/coreos/go-oidc/v3", "golang.org/x/oauth2"}, "internal/demo is an application like any other: it knows its client libraries and nothing of this server"},
	"internal/demo/terminal":   {[]string{"github.com/coreos/go-oidc/v3", "golang.org/x/oauth2"}, "internal/demo/terminal is an application like any other: it knows its client libraries and nothing of this server"},
	"docs":                     {nil, "docs holds pages that the program reads: it imports the standard library only"},
	"migrations":               {nil, "migrations holds SQL files: it imports the standard library only"},
	"web":                      {nil, "web holds pages: it imports the standard library only"},
	"web/webtest":              {[]string{"web"}, "web/webtest fills in pages for tests"},

	"internal/remote":               {[]string{"internal/idp", "internal/admin", "internal/adminapi/adminclient"}, "internal/remote is internal/admin at a distance: it knows that service, the nouns and the API's client only"},
	"internal/adminapi/adminclient": {[]string{"github.com/oapi-codegen/runtime"}, "internal/adminapi/adminclient is generated from the specification: it knows the generator's library and nothing of this server"},
}

// doors names the one package that may import each library with a door.
var doors = map[string]string{
	"github.com/ory/fosite":                    "internal/grants",
	"github.com/go-jose/go-jose/v4":            "internal/tokens",
	"github.com/jackc/pgx/v5":                  "internal/store",
	"modernc.org/sqlite":                       "internal/store",
	"github.com/pressly/goose/v3":              "internal/store",
	"github.com/gorilla/mux":                   "internal/server",
	"github.com/rs/cors":                       "internal/server",
	"github.com/go-crypt/":                     "internal/users",
	"github.com/pquerna/otp":                   "internal/users",
	"github.com/boombuler/barcode":             "internal/users",
	"github.com/go-webauthn/webauthn":          "internal/users",
	"github.com/coreos/go-oidc/v3":             "internal/demo",
	"github.com/prometheus/client_golang":      "internal/metrics",
	"github.com/wneessen/go-mail":              "internal/mail",
	"golang.org/x/mod/sumdb":                   "internal/audit",
	"go.opentelemetry.io":                      "internal/tracing",
	"golang.org/x/crypto/acme":                 "internal/acme",
	"github.com/spf13/cobra":                   "cmd/idp",
	"github.com/coreos/go-systemd/v22":         "cmd/idp",
	"github.com/go-jose/go-jose/v3":            "nobody",
	"github.com/golang-jwt/jwt":                "nobody",
	"github.com/mattn/go-sqlite3":              "nobody",
	"github.com/oapi-codegen/runtime":          "internal/adminapi/adminclient",
	"github.com/getkin/kin-openapi":            "tests",
	"github.com/ory/hydra-client-go/v2":        "tests",
	"github.com/stretchr/testify":              "tests",
	"pgregory.net/rapid":                       "tests",
	"github.com/rogpeppe/go-internal":          "tests",
	"github.com/santhosh-tekuri/jsonschema/v6": "internal/attributes",
}

type listedPackage struct {
	ImportPath string
	Name       string
	Imports    []string
}

func TestImportsFollowTheTable(t *testing.T) {
	t.Parallel()
	for _, p := range modulePackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "idp/")
		rule, known := importTable[name]
		if !known && !strings.HasPrefix(name, "cmd/") && !strings.HasPrefix(name, "scripts/") {
			t.Errorf("%s is not in the import table: a new package is a noun with a row of its own, never a util", name)
			continue
		}
		for _, imported := range p.Imports {
			if isStandard(imported) {
				continue
			}
			if known && !slices.ContainsFunc(rule.may, func(allowed string) bool { return covers(allowed, imported) }) {
				t.Errorf("%s imports %s: %s", name, imported, rule.sentence)
			}
			for library, door := range doors {
				// What lies below a door, and tools that only tests use, may do as they like.
				if covers(library, imported) && name != door && !strings.HasPrefix(name, door+"/") && !strings.HasPrefix(name, "cmd/idp/") {
					t.Errorf("%s imports %s: its one door is %s", name, imported, door)
				}
			}
		}
	}
}

// TestImportTableIsAlive fails when the table names a package that is gone.
func TestImportTableIsAlive(t *testing.T) {
	t.Parallel()
	packages := modulePackages(t)
	for name := range importTable {
		if !slices.ContainsFunc(packages, func(p listedPackage) bool { return p.ImportPath == "idp/"+name }) {
			t.Errorf("the import table has a row for %s, which does not exist", name)
		}
	}
}

// covers reports whether an import path is the allowed package: our own by its
// exact path, a library with all that is below it.
func covers(allowed, imported string) bool {
	if own, ok := strings.CutPrefix(imported, "idp/"); ok {
		return own == allowed
	}
	return imported == allowed || strings.HasPrefix(imported, strings.TrimSuffix(allowed, "/")+"/")
}

// isStandard reports whether a path is the standard library's: no dot in its
// first element, and not ours.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first != "idp" && !strings.Contains(first, ".")
}

func modulePackages(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Name,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listedPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listedPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
