package remote

import (
	"os"
	"sync"
	"time"
)

// stamp tells one state of a file from another without reading it. The zero
// value is a file that is not there.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// cache keeps what was made of files until one of them changes.
type cache[T any] struct {
	mu      sync.Mutex
	entries map[string]cached[T]
}

type cached[T any] struct {
	stamps []stamp
	value  T
	err    error
}

// get gives what parse made of the files, named together by key.
func (c *cache[T]) get(key string, files []string, parse func() (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[key]
	same := ok && len(entry.stamps) == len(files)
	stamps := make([]stamp, len(files))
	for i, file := range files {
		stamps[i] = stampOf(file)
		same = same && stamps[i] == entry.stamps[i]
	}
	if same {
		return entry.value, entry.err
	}
	value, err := parse()
	if c.entries == nil {
		c.entries = make(map[string]cached[T])
	}
	c.entries[key] = cached[T]{stamps, value, err}
	return value, err
}
