package consensus

import (
	"encoding/json"

	bolt "go.etcd.io/bbolt"
)

// sighting is what is kept of a host, nil: nothing. It survives restarts.
func (s *store) sighting(host string) (out *sighting, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		data := tx.Bucket(bucketSeen).Get([]byte(host))
		if data == nil {
			return nil
		}
		out = &sighting{}
		return json.Unmarshal(data, out)
	})
	return out, err
}

// keepSighting keeps what was seen of a host, unless more is known by now. It is on the disk when it returns, and costs
// nothing when nothing is new.
func (s *store) keepSighting(host string, seen *sighting) error {
	known, err := s.sighting(host)
	if err != nil || known != nil && *newer(known, seen) == *known {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		bucket, known := tx.Bucket(bucketSeen), &sighting{}
		if data := bucket.Get([]byte(host)); data != nil {
			if err := json.Unmarshal(data, known); err != nil {
				return err
			}
			seen = newer(known, seen)
		}
		data, err := json.Marshal(seen)
		if err != nil {
			return err
		}
		return bucket.Put([]byte(host), data)
	})
}
