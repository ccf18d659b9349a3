package cluster

// unfinished reports changes that were begun and have not come to their end: half of a switchover looks like a fault of the region.
func (d *diagnosis) unfinished() {
	for _, b := range d.Begun {
		if b.Failure != nil {
			d.warn(ChangeUnfinished, "", b.Failure.Hint, "%s", b.Failure.Message)
			continue
		}
		d.warn(ChangeUnfinished, "", "unless it is still at work: pgctl "+b.Command+", which goes on", "pgctl %s began and has not ended: %d of %d steps are done", b.Command, b.Done, b.Steps)
	}
}
