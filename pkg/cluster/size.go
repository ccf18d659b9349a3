package cluster

import "fmt"

// Size is a number of bytes as operators read it.
type Size int64

// String gives the size with a binary unit, such as "1.2 MiB".
func (s Size) String() string {
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	if s < 1024 {
		return fmt.Sprintf("%d B", int64(s))
	}
	value, unit := float64(s)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
