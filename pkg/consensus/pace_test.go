//go:build !race

package consensus

// pace is the multiplier of tests: a heartbeat of 300 ms.
const pace = 0.3
