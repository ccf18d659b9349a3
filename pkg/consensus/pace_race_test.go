//go:build race

package consensus

// pace is the multiplier of tests with the race detector, which makes everything several times slower.
const pace = 0.7
