package consensus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// nearly is how many entries a host may lack and still count as caught up: what is under way.
const nearly = 64

// Members are those of the configuration in force here, by name. A change that is not committed yet counts already.
func (n *Node) Members() []Member {
	future := n.raft.GetConfiguration()
	if future.Error() != nil {
		return nil // it only reads a copy
	}
	var out []Member
	for _, s := range future.Configuration().Servers {
		out = append(out, Member{Name: string(s.ID), Votes: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(out, func(a, b Member) int { return first(a.Name < b.Name, b.Name < a.Name) })
	return out
}

func (n *Node) votes(name string) bool {
	return slices.Contains(n.Members(), Member{Name: name, Votes: true})
}

// Contacts are the other hosts of the inventory as this host has seen them since it started. A host that has not
// answered since then is silent from that time on.
func (n *Node) Contacts() map[string]Contact {
	now, last := n.options.Now(), n.raft.LastIndex()
	out := map[string]Contact{}
	for _, h := range n.others() {
		k := n.manners.look(h.Name)
		out[h.Name] = Contact{Silent: max(0, now.Sub(k.last)), CaughtUp: k.index+nearly >= last && k.index > 0, Refused: k.refused}
	}
	return out
}

// Situation is what the leader would decide a change of the members from.
func (n *Node) Situation() Situation {
	s := Situation{Leader: n.options.Host, Members: n.Members(), Hosts: n.hosts(), Contacts: n.Contacts(), SpareAfter: n.options.SpareAfter}
	for _, m := range s.Members { // who is a member and in no inventory is not greeted: it is gone, as far as anybody knows
		if _, met := s.Contacts[m.Name]; !met && m.Name != s.Leader {
			s.Contacts[m.Name] = Contact{Silent: s.SpareAfter}
		}
	}
	return s
}

// Advance brings the members one change nearer to what the inventory wants, and gives that change; nil: none was due. The
// leader calls it about once a second, as long as a majority has its inventory. Only the leader can.
func (n *Node) Advance(ctx context.Context) (*Change, error) {
	if !n.Leads() {
		return nil, ErrNotLeader
	}
	c := n.Situation().Next()
	if c == nil {
		return nil, nil
	}
	return c, n.Change(ctx, *c)
}

// Change carries one change of the members out and returns when it is committed. It is refused when another has come
// between. ErrUnknown: it may still be.
func (n *Node) Change(ctx context.Context, c Change) error {
	if c.Verb == HandOver {
		return n.Transfer(ctx, c.Host)
	}
	if err := n.Barrier(ctx); err != nil { // the configuration in force is committed and known to the replica
		return err
	}
	id, last, limit := raft.ServerID(c.Host), n.replica.membership().Index, n.times.of(heartbeat)
	ask, known := map[Verb]func(*raft.Raft) raft.IndexFuture{
		Join:    func(r *raft.Raft) raft.IndexFuture { return r.AddNonvoter(id, raft.ServerAddress(id), last, limit) },
		Promote: func(r *raft.Raft) raft.IndexFuture { return r.AddVoter(id, raft.ServerAddress(id), last, limit) },
		Demote:  func(r *raft.Raft) raft.IndexFuture { return r.DemoteVoter(id, last, limit) },
		Remove:  func(r *raft.Raft) raft.IndexFuture { return r.RemoveServer(id, last, limit) },
	}[c.Verb]
	if !known {
		return fmt.Errorf("nobody knows how to %q a member", c.Verb)
	}
	if _, err := await(ctx, n, func() raft.IndexFuture { return ask(n.raft) }); err != nil {
		return fmt.Errorf("%s %s: %w", c.Verb, c.Host, err)
	}
	n.spread()
	return nil
}

// Stats are for metrics and a person's eyes; nothing is to be decided by them.
type Stats struct {
	State         string // raft's word: Follower, Candidate, Leader, Shutdown
	Leader        string // "" none is known
	Term          uint64
	LastIndex     uint64        // of the log
	CommitIndex   uint64        //
	AppliedIndex  uint64        // of the last command
	SnapshotIndex uint64        // 0: none yet
	LeaderContact time.Duration // since the leader was heard; 0 for the leader itself, negative: never
	StoreBytes    int64         // of the store's file, which does not shrink
}

// Stats are those of now.
func (n *Node) Stats() Stats {
	s := Stats{
		State: n.raft.State().String(), Leader: n.Leader(), Term: n.raft.CurrentTerm(), LastIndex: n.raft.LastIndex(),
		CommitIndex: n.raft.CommitIndex(), AppliedIndex: n.Applied(), StoreBytes: n.store.size(),
	}
	_, _ = fmt.Sscan(n.raft.Stats()["last_snapshot_index"], &s.SnapshotIndex) // raft has no other way to tell
	switch last := n.raft.LastContact(); {
	case s.State == raft.Leader.String():
	case last.IsZero():
		s.LeaderContact = -1
	default:
		s.LeaderContact = n.options.Now().Sub(last)
	}
	return s
}

// Remains are those of the directory of this replica, as it runs.
func (n *Node) Remains() Remains {
	r := Remains{Resets: n.store.mark().Resets}
	stats := n.raft.Stats()
	for _, last := range []string{"last_log", "last_snapshot"} { // the log is empty after a recovery, and behind after a snapshot that was sent
		var term, index uint64
		_, _ = fmt.Sscan(stats[last+"_term"], &term)
		_, _ = fmt.Sscan(stats[last+"_index"], &index)
		if index > r.Index {
			r.Term, r.Index = term, index
		}
	}
	for _, m := range n.Members() {
		if m.Votes {
			r.Voters = append(r.Voters, m.Name)
		}
	}
	return r
}
