package nodes

import (
	"bytes"
	"slices"

	"go.yaml.in/yaml/v3"
)

const (
	sectionWatch = "watch"
	keyZones     = "zones"
)

// HostConfig is the pgctl.yaml of one host: the operator's, but for the section watch, which is each host's own and stays
// as host has it. Of that section only zones is the site's, so the operator's counts where there is one. An empty host is
// one without the file. Made again from its own result it is the same. An error is of type Problems.
func HostConfig(operator, host File) ([]byte, error) {
	for _, file := range []File{operator, host} {
		if _, err := ParseConfig(file); err != nil {
			return nil, err
		}
	}
	ours, _ := parseRoot(operator) // read without a problem above
	theirs, _ := parseRoot(host)
	watch := hostWatch(valueOf(ours, sectionWatch), valueOf(theirs, sectionWatch))
	if watch == nil && valueOf(ours, sectionWatch) == nil {
		return slices.Clone(operator.Data), nil
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	if ours != nil {
		root.Content = without(ours, sectionWatch)
	}
	if watch != nil {
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: sectionWatch}, watch)
	}
	if len(root.Content) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return nil, Problems{{operator.Path, 0, "cannot be written anew: " + err.Error()}}
	}
	return out.Bytes(), nil
}

// hostWatch is the section watch of a host: its own with the operator's zones; nil when nothing is in it.
func hostWatch(operator, host *yaml.Node) *yaml.Node {
	zones := valueOf(operator, keyZones)
	switch {
	case zones == nil:
		return host
	case host == nil || host.Kind != yaml.MappingNode:
		host = &yaml.Node{Kind: yaml.MappingNode}
	}
	return &yaml.Node{Kind: yaml.MappingNode, Content: append(without(host, keyZones), &yaml.Node{Kind: yaml.ScalarNode, Value: keyZones}, zones)}
}

// valueOf is the value of a key of a mapping, nil when there is none.
func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if follow(mapping.Content[i]).Value == key {
			return follow(mapping.Content[i+1])
		}
	}
	return nil
}

// without is the keys and values of a mapping but for one key.
func without(mapping *yaml.Node, key string) []*yaml.Node {
	var kept []*yaml.Node
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if follow(mapping.Content[i]).Value != key {
			kept = append(kept, mapping.Content[i], mapping.Content[i+1])
		}
	}
	return kept
}
