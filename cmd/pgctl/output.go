package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// print writes a result in the format that --output asks for: doc as JSON or YAML, else what table writes.
func (a *app) print(doc any, table func() error) error {
	switch a.output {
	case "json":
		text, err := encodeJSON(doc)
		if err != nil {
			return err
		}
		_, err = a.out.Write(text)
		return err
	case "yaml":
		text, err := encodeYAML(doc)
		if err != nil {
			return err
		}
		_, err = a.out.Write(text)
		return err
	}
	return table()
}

func encodeJSON(doc any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(doc)
	return b.Bytes(), err
}

// encodeYAML gives the same document as JSON, by way of it: JSON is YAML, so names, order and nulls are the same.
func encodeYAML(doc any) ([]byte, error) {
	text, err := encodeJSON(doc)
	if err != nil {
		return nil, err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, fmt.Errorf("cannot turn the result into YAML: %w", err)
	}
	blockStyle(&node)
	return yaml.Marshal(&node)
}

// blockStyle takes JSON's braces and quotes off; the encoder puts quotes back where YAML needs them.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		blockStyle(child)
	}
}
