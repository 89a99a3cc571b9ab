// SPDX-License-Identifier: Apache-2.0

// Package compose reads docker-compose.yml with the code of `docker compose`; ../test_compose.py with docker-compose.
package compose

import (
	"context"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

const (
	plain   = "../../../docker-compose.yml"
	secured = "../../../deploy/docker/secured.yml"
)

// enabledServices gives the names of what `docker compose --profile ... up` would start.
func enabledServices(t *testing.T, files []string, profiles ...string) []string {
	t.Helper()
	// The same order of options as in docker compose: .env is read before COMPOSE_PROFILES counts.
	options, err := cli.NewProjectOptions(files, cli.WithEnv([]string{"PREFSCORE_SECRETS=/srv/secrets"}),
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
		for _, files := range [][]string{{plain}, {plain, secured}} {
			got := enabledServices(t, files, test.profiles...)
			if want := []string{"grafana", test.server, "prometheus"}; !slices.Equal(got, want) {
				t.Errorf("%v, profiles %v: %v", files, test.profiles, got)
			}
		}
	}
}
