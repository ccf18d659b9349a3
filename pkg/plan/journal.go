package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Journal keeps what a run set out to do and how far it came.
type Journal interface {
	Begin(p Plan) error // before the first change
	Done(s Step) error
	End() error // the plan came to its end
}

// File is a Journal in one file, written whole at each change: to a temporary file beside it, synced and renamed, so that a
// power failure leaves the old state or the new one. A plan that came to its end leaves no file.
type File struct {
	Path  string
	state record
}

// record is the content of the file.
type record struct {
	Plan Plan     `json:"plan"`
	Done []string `json:"done"` // IDs of steps
	// Reached is how many steps were done when an earlier run of a plan for the same facts had come furthest.
	Reached int `json:"reached"`
	PID     int `json:"pid"` // who runs it, or did
}

// Unfinished reads the plan that an earlier run left at path and how many of its steps were done, by that run or by one before it for the
// same facts; nil when there is none.
func Unfinished(path string) (*Plan, int, error) {
	r, err := read(path)
	if r == nil || err != nil {
		return nil, 0, err
	}
	return &r.Plan, max(len(r.Done), r.Reached), nil
}

// RunBy is the process that wrote it, whether or not it is still there; 0 when that is not known.
func RunBy(path string) int {
	r, err := read(path)
	if r == nil || err != nil {
		return 0
	}
	return r.PID
}

func read(path string) (*record, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: not a journal of pgctl (%w); look at it, then move it away", path, err)
	}
	return &r, nil
}

// Journals are the paths of the journals in a folder, in order; none where there is no such folder.
func Journals(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".json" { // a temporary file of a power failure has another ending
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// Begin writes the plan.
func (f *File) Begin(p Plan) error {
	f.state = record{Plan: p, Done: []string{}, PID: os.Getpid()}
	if old, done, err := Unfinished(f.Path); err == nil && old != nil && p.GoesOnWith(*old) {
		f.state.Reached = done
	}
	return f.write()
}

// Done notes one step.
func (f *File) Done(s Step) error {
	f.state.Done = append(f.state.Done, s.ID)
	return f.write()
}

// End removes the file.
func (f *File) End() error {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(f.Path))
}

func (f *File) write() error {
	data, err := json.MarshalIndent(f.state, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, filepath.Base(f.Path)+".")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone already when it was renamed
	_, errWrite := temp.Write(append(data, '\n'))
	if err := errors.Join(errWrite, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), f.Path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
