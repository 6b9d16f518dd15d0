// Peer for tests: calls functions of gophercloud's db/v1 as its users do. A line of JSON {"call", "words"} comes in, a line
// {"value"} or {"error", "status"} goes out. Authenticates with Keystone's usual variables of the environment.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/db/v1/configurations"
	"github.com/gophercloud/gophercloud/v2/openstack/db/v1/databases"
	"github.com/gophercloud/gophercloud/v2/openstack/db/v1/datastores"
	"github.com/gophercloud/gophercloud/v2/openstack/db/v1/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/db/v1/instances"
	"github.com/gophercloud/gophercloud/v2/openstack/db/v1/users"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

type wanted struct {
	Call  string   `json:"call"`
	Words []string `json:"words"`
}

type answer struct {
	Value  any    `json:"value,omitempty"`
	Error  string `json:"error,omitempty"`
	Status int    `json:"status,omitempty"`
}

type call func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error)

// all reads every page that gophercloud finds.
func all[T any](pager pagination.Pager, extract func(pagination.Page) ([]T, error)) (any, error) {
	found := []T{}
	err := pager.EachPage(context.Background(), func(_ context.Context, page pagination.Page) (bool, error) {
		some, err := extract(page)
		found = append(found, some...)
		return true, err
	})
	return found, err
}

func settings(text string) map[string]any {
	values := map[string]any{}
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		panic(err)
	}
	return values
}

// create builds an instance as Terraform's resource does: words are name, flavor, size, network, database, user, password.
func create(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
	size, err := strconv.Atoi(w[2])
	if err != nil {
		return nil, err
	}
	opts := instances.CreateOpts{
		Name: w[0], FlavorRef: w[1], Size: size,
		Datastore: &instances.DatastoreOpts{Type: "mariadb", Version: "10.11"},
		Databases: databases.BatchCreateOpts{{Name: w[4], CharSet: "utf8", Collate: "utf8_general_ci"}},
		Users:     users.BatchCreateOpts{{Name: w[5], Password: w[6], Host: "%", Databases: databases.BatchCreateOpts{{Name: w[4]}}}},
	}
	if w[3] != "" {
		opts.Networks = []instances.NetworkOpts{{UUID: w[3]}}
	}
	return instances.Create(ctx, c, opts).Extract()
}

var calls = map[string]call{
	"instances.Create": create,
	"instances.List": func(_ context.Context, c *gophercloud.ServiceClient, _ []string) (any, error) {
		return all(instances.List(c), instances.ExtractInstances)
	},
	"instances.Get": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		found, err := instances.Get(ctx, c, w[0]).Extract()
		if err != nil {
			return nil, err
		}
		return map[string]any{"instance": found, "created": found.Created}, nil // Its own JSON leaves the time out.
	},
	"instances.Delete": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, instances.Delete(ctx, c, w[0]).ExtractErr()
	},
	"instances.EnableRootUser": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return instances.EnableRootUser(ctx, c, w[0]).Extract()
	},
	"instances.IsRootEnabled": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return instances.IsRootEnabled(ctx, c, w[0]).Extract()
	},
	"instances.Restart": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, instances.Restart(ctx, c, w[0]).ExtractErr()
	},
	"instances.Resize": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, instances.Resize(ctx, c, w[0], w[1]).ExtractErr()
	},
	"instances.ResizeVolume": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		size, err := strconv.Atoi(w[1])
		if err != nil {
			return nil, err
		}
		return nil, instances.ResizeVolume(ctx, c, w[0], size).ExtractErr()
	},
	"instances.AttachConfigurationGroup": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, instances.AttachConfigurationGroup(ctx, c, w[0], w[1]).ExtractErr()
	},
	"instances.DetachConfigurationGroup": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, instances.DetachConfigurationGroup(ctx, c, w[0]).ExtractErr()
	},
	"databases.Create": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, databases.Create(ctx, c, w[0], databases.BatchCreateOpts{{Name: w[1]}}).ExtractErr()
	},
	"databases.List": func(_ context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return all(databases.List(c, w[0]), databases.ExtractDBs)
	},
	"databases.Delete": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, databases.Delete(ctx, c, w[0], w[1]).ExtractErr()
	},
	"users.Create": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, users.Create(ctx, c, w[0], users.BatchCreateOpts{{Name: w[1], Password: w[2]}}).ExtractErr()
	},
	"users.List": func(_ context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return all(users.List(c, w[0]), users.ExtractUsers)
	},
	"users.Delete": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, users.Delete(ctx, c, w[0], w[1]).ExtractErr()
	},
	"flavors.List": func(_ context.Context, c *gophercloud.ServiceClient, _ []string) (any, error) {
		return all(flavors.List(c), flavors.ExtractFlavors)
	},
	"flavors.Get": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return flavors.Get(ctx, c, w[0]).Extract()
	},
	"datastores.List": func(_ context.Context, c *gophercloud.ServiceClient, _ []string) (any, error) {
		return all(datastores.List(c), datastores.ExtractDatastores)
	},
	"datastores.Get": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return datastores.Get(ctx, c, w[0]).Extract()
	},
	"datastores.ListVersions": func(_ context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return all(datastores.ListVersions(c, w[0]), datastores.ExtractVersions)
	},
	"datastores.GetVersion": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return datastores.GetVersion(ctx, c, w[0], w[1]).Extract()
	},
	"configurations.List": func(_ context.Context, c *gophercloud.ServiceClient, _ []string) (any, error) {
		return all(configurations.List(c), configurations.ExtractConfigs)
	},
	"configurations.Create": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return configurations.Create(ctx, c, configurations.CreateOpts{
			Name: w[0], Values: settings(w[1]), Datastore: &configurations.DatastoreOpts{Type: "mariadb", Version: "10.11"},
		}).Extract()
	},
	"configurations.Get": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return configurations.Get(ctx, c, w[0]).Extract()
	},
	"configurations.Update": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, configurations.Update(ctx, c, w[0], configurations.UpdateOpts{Values: settings(w[1])}).ExtractErr()
	},
	"configurations.Replace": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, configurations.Replace(ctx, c, w[0], configurations.UpdateOpts{Values: settings(w[1])}).ExtractErr()
	},
	"configurations.Delete": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return nil, configurations.Delete(ctx, c, w[0]).ExtractErr()
	},
	"configurations.ListInstances": func(_ context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return all(configurations.ListInstances(c, w[0]), instances.ExtractInstances)
	},
	"configurations.ListDatastoreParams": func(_ context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return all(configurations.ListDatastoreParams(c, w[0], w[1]), configurations.ExtractParams)
	},
	"configurations.GetDatastoreParam": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return configurations.GetDatastoreParam(ctx, c, w[0], w[1], w[2]).Extract()
	},
	"configurations.ListGlobalParams": func(_ context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return all(configurations.ListGlobalParams(c, w[0]), configurations.ExtractParams)
	},
	"configurations.GetGlobalParam": func(ctx context.Context, c *gophercloud.ServiceClient, w []string) (any, error) {
		return configurations.GetGlobalParam(ctx, c, w[0], w[1]).Extract()
	},
}

func ask(ctx context.Context, c *gophercloud.ServiceClient, line []byte) answer {
	var w wanted
	if err := json.Unmarshal(line, &w); err != nil {
		return answer{Error: err.Error()}
	}
	function, known := calls[w.Call]
	if !known {
		return answer{Error: "no such call: " + w.Call}
	}
	value, err := function(ctx, c, w.Words)
	if err == nil {
		return answer{Value: value}
	}
	var unexpected gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &unexpected) {
		return answer{Error: err.Error(), Status: unexpected.Actual}
	}
	return answer{Error: err.Error()}
}

func main() {
	ctx := context.Background()
	options, err := openstack.AuthOptionsFromEnv()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	provider, err := openstack.AuthenticatedClient(ctx, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client, err := openstack.NewDBV1(provider, gophercloud.EndpointOpts{Region: os.Getenv("OS_REGION_NAME")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := answers.Encode(ask(ctx, client, lines.Bytes())); err != nil {
			os.Exit(1)
		}
	}
}
