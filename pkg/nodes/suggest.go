package nodes

import "strings"

// didYouMean returns ` (did you mean "x"?)` for the known word nearest to word, or nothing when none is near.
func didYouMean(word string, known []string) string {
	const near = 2 // typing mistakes
	best, bestDistance := "", near+1
	for _, k := range known {
		d := distance(strings.ToLower(word), strings.ToLower(k), near)
		if d < bestDistance && d < len(k)-1 {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return ` (did you mean "` + best + `"?)`
}

// distance returns the number of bytes to insert, delete or replace to get from a to b, or limit+1 when the lengths
// alone say that it is more than limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
