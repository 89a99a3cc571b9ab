// SPDX-License-Identifier: Apache-2.0

// Package compose reads docker-compose.yml with the code of `docker compose`; ../test_compose.py with docker-compose.
package compose

import (
	"context"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// enabledServices gives the names of what `docker compose --profile ... up` would start.
func enabledServices(t *testing.T, profiles ...string) []string {
	t.Helper()
	// The same order of options as in docker compose: .env is read before COMPOSE_PROFILES counts.
	options, err := cli.NewProjectOptions([]string{"../../../docker-compose.yml"},
		cli.WithWorkingDirectory("../../.."), cli.WithEnvFiles(), cli.WithDotEnv,
		cli.WithDefaultProfiles(profiles...))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	names := project.ServiceNames()
	slices.Sort(names)
	return names
}

func TestTheProfileChoosesTheServer(t *testing.T) {
	for _, test := range []struct {
		profiles []string
		server   string
	}{{nil, "prefscore-server"}, {[]string{"cpu"}, "prefscore-server"}, {[]string{"gpu"}, "prefscore-server-gpu"}} {
		got := enabledServices(t, test.profiles...)
		if want := []string{"grafana", test.server, "prometheus"}; !slices.Equal(got, want) {
			t.Errorf("profiles %v: %v", test.profiles, got)
		}
	}
}
