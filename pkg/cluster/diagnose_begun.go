package cluster

import "fmt"

// unfinished reports changes that were begun and have not come to their end: half of a switchover looks like a fault of the region.
func (d *diagnosis) unfinished() {
	for _, b := range d.Begun {
		switch {
		case b.Failure != nil:
			d.warn(ChangeUnfinished, "", b.Failure.Hint, "%s", b.Failure.Message)
		case b.AtWork != 0:
			d.warn(ChangeUnfinished, "", "wait for its end before anything else is done", "pgctl %s is at work (pid %d): %d of %d steps are done", b.Command, b.AtWork, b.Done, b.Steps)
		default:
			d.warn(ChangeUnfinished, "", b.remedy(), "pgctl %s was broken off: %d of %d steps are done", b.Command, b.Done, b.Steps)
		}
	}
}

// half is what to do about a region that is in the middle of a change, before anything else; "" when it is in none that stops a master.
func (d *diagnosis) half() string {
	for _, b := range d.Begun {
		switch {
		case b.Back == "":
		case b.AtWork != 0:
			return fmt.Sprintf("pgctl %s is at work (pid %d): wait for its end", b.Command, b.AtWork)
		default:
			return "start nothing by hand; " + b.remedy()
		}
	}
	return ""
}

func (b Begun) remedy() string {
	text := "pgctl " + b.Command + " goes on (with --accept as before)"
	if b.Back != "" {
		text = "pgctl " + b.Command + " goes on, pgctl " + b.Back + " goes back"
	}
	return text
}
