// SPDX-License-Identifier: Apache-2.0
package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	core "k8s.io/api/core/v1"
)

func serverToml(t *testing.T, file string, overrides values) string {
	t.Helper()
	var config core.ConfigMap
	find(t, render(t, file, overrides), "ConfigMap", "prefscore", &config)
	return config.Data["server.toml"]
}

// acceptedByTheServer gives the rendered configuration to the server's --check-config, which wants models, certificates
// and tokens to be there.
func acceptedByTheServer(t *testing.T, file string, overrides values) {
	t.Helper()
	folder := os.Getenv("PREFSCORE_BUILD_DIR")
	if folder == "" {
		t.Fatal("PREFSCORE_BUILD_DIR does not name the build folder")
	}
	server := filepath.Join(folder, "prefscore-server")
	demo, err := filepath.Abs("../../../deploy/demo/models")
	if err != nil {
		t.Fatal(err)
	}
	certificates := certificateFolder(t)
	tokens := t.TempDir()
	entry := "[[token]]\nname = \"trainer\"\nroles = [\"score\"]\nsha256 = \"" +
		strings.Repeat("0123456789abcdef", 4) + "\"\n"
	if err := os.WriteFile(filepath.Join(tokens, "tokens.toml"), []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	models := values{"config": values{"model": []any{"policy=/models/policy", "reference=/models/reference"}}}
	config := serverToml(t, file, chartutil.CoalesceTables(models, overrides))
	config = strings.ReplaceAll(config, "/models/", demo+"/")
	config = strings.ReplaceAll(config, "/var/cache/prefscore", t.TempDir())
	config = strings.ReplaceAll(config, "/run/prefscore/tls", certificates)
	config = strings.ReplaceAll(config, "/run/prefscore/tokens", tokens)
	path := filepath.Join(t.TempDir(), "server.toml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command(server, "--config", path, "--check-config").CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, output, config)
	}
}

func TestTheServerAcceptsItsConfiguration(t *testing.T) {
	eachValueFile(t, func(t *testing.T, file string) { acceptedByTheServer(t, file, nil) })
}

// Of deploy/CONFIGURATION.md, each with its default.
func TestEveryOptionOfTheServerCanBeGiven(t *testing.T) {
	documented, err := os.ReadFile("../../../deploy/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	options := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ").FindAllStringSubmatch(string(documented), -1)
	if len(options) < 30 {
		t.Fatalf("%d options are documented", len(options))
	}
	// Set by the chart, from its other values.
	everywhere := serverToml(t, "examples/gpu-cluster.yaml", withAdmin()) + serverToml(t, "", nil)
	for _, option := range options {
		name := option[1]
		if strings.Contains(everywhere, "\n"+name+" = ") {
			continue
		}
		config := serverToml(t, "", values{"config": values{name: "some"}})
		if !strings.Contains(config, "\n"+name+` = "some"`) {
			t.Errorf("%s does not arrive", name)
		}
	}
}

func TestWithTLSNothingIsServedInPlainText(t *testing.T) {
	config := serverToml(t, "examples/gpu-cluster.yaml", nil)
	if strings.Contains(config, "allow-plaintext") || !strings.Contains(config, "tls-client-ca") ||
		!strings.Contains(config, "token-file") {
		t.Error(config)
	}
	config = serverToml(t, "", values{"tls": values{"secretName": "certificate"}})
	if strings.Contains(config, "tls-client-ca") || !strings.Contains(config, `tls-key = "/run/prefscore/tls/tls.key"`) {
		t.Error(config)
	}
}

func TestValuesArriveInTheConfigurationAsTheyWereMeant(t *testing.T) {
	config := serverToml(t, "", values{"config": values{
		"cache-max-bytes": 193273528320.0, "shutdown-grace": 0.5, "policy": `a "quoted" name`, "device": "cpu"}})
	for _, line := range []string{
		"cache-max-bytes = 193273528320", "shutdown-grace = 0.5", `policy = "a \"quoted\" name"`, `device = "cpu"`,
		`model = ["policy=/models/policy","reference=/models/reference"]`, `listen = "0.0.0.0:50051"`,
		`metrics-listen = "0.0.0.0:9464"`, `allow-plaintext = true`, `cache-dir = "/var/cache/prefscore"`,
	} {
		if !strings.Contains("\n"+config+"\n", "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, config)
		}
	}
}
