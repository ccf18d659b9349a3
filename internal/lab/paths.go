package lab

import "path/filepath"

const (
	cacheDir = "/var/cache/pgctl-lab" // images, kept between runs
	runDir   = "/run/pgctl-lab"       // one directory a region
	lockDir  = "/run/lock"
	cgroup   = "pgctl-lab"
)

func regionDir(region string) string { return filepath.Join(runDir, region) }

func netnsName(region string) string { return "pgctl-lab-" + region }

// hostDirs are the directories of one host, all below the region's.
type hostDirs struct {
	base  string
	upper string // what the host has changed of the image
	work  string // overlayfs's own
	root  string // the mounted disk
	data  string // the mounted data file system, servers only
	log   string // what the host printed on its console
}

func dirsOf(region, host string) hostDirs {
	base := filepath.Join(regionDir(region), host)
	return hostDirs{
		base:  base,
		upper: filepath.Join(base, "upper"),
		work:  filepath.Join(base, "work"),
		root:  filepath.Join(base, "root"),
		data:  filepath.Join(base, "data"),
		log:   filepath.Join(base, "console.log"),
	}
}
