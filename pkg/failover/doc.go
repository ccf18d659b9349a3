// Package failover holds the procedures that change a region, as plans (package plan): what is decided from a snapshot is a
// pure function that returns a plan or a cluster.Refusal, and the handlers of the plan's verbs do the work through a Host.
package failover
