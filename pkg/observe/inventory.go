package observe

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/remote"
)

// inventoryScript prints every file of the inventory that exists, each as a section named by its path.
const inventoryScript = "# Prints the files of the inventory, a section each.\n" + sectionScript + `
for file in "$1"/nodes/pgserver "$1"/nodes/pgmaster "$1"/nodes/pgslave "$1"/nodes/pgpool "$1"/variables/global/server.yaml.*; do
  [ -f "$file" ] || continue
  section "$file"
  cat "$file" || exit 1
done
exit 0`

// Inventory reads the inventory under confDir (usually /pitrix/conf) on the given host.
func Inventory(ctx context.Context, host remote.Host, confDir string, cfg nodes.Config) (*nodes.Inventory, error) {
	result, err := host.Run(ctx, remote.Script(inventoryScript, confDir))
	if err != nil {
		return nil, fmt.Errorf("cannot read the inventory in %s: %w", confDir, err)
	}
	files := nodes.Files{Nodes: map[string]nodes.File{}, Zones: map[string]nodes.File{}}
	for name, content := range sections(string(result.Stdout)) {
		file := nodes.File{Path: name, Data: []byte(content)}
		if !strings.HasPrefix(path.Base(name), "server.yaml.") {
			files.Nodes[path.Base(name)] = file
		} else if zone, ok := nodes.ZoneOfFile(path.Base(name)); ok {
			files.Zones[zone] = file
		}
	}
	if len(files.Nodes) == 0 {
		return nil, nodes.Problems{{Path: confDir, Message: "found no node file here, expected nodes/pgserver (or nodes/pgmaster and nodes/pgslave); name the site's directory by --conf-dir"}}
	}
	return nodes.Parse(files, cfg)
}
