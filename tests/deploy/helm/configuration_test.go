// SPDX-License-Identifier: Apache-2.0
package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

func serverToml(t *testing.T, file string, overrides values) string {
	t.Helper()
	var config core.ConfigMap
	find(t, render(t, file, overrides), "ConfigMap", "prefscore", &config)
	return config.Data["server.toml"]
}

func TestTheServerAcceptsItsConfiguration(t *testing.T) {
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
	eachValueFile(t, func(t *testing.T, file string) {
		// The check wants models, certificates and tokens to be there.
		config := serverToml(t, file, values{"config": values{"model": []any{"policy=/models/policy",
			"reference=/models/reference"}}})
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
	})
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
