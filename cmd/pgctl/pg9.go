package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

func newPG9Cmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pg9",
		Short:   "PostgreSQL 9.x sites: the scripts' fixup, the steps after a failover, the proof",
		Example: "  pgctl pg9 auto-failover --dry-run\n  pgctl pg9 post-failover\n  pgctl pg9 verify",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAutoFailoverCmd(a), newPostFailoverCmd(a), newVerifyCmd(a))
	return cmd
}

// only9x refuses a site of the other kind, with what there is for it.
func only9x(inv *nodes.Inventory, instead string) error {
	if inv.Kind == nodes.KindPG9 {
		return nil
	}
	return &cluster.Refusal{Risks: []cluster.Risk{{Evidence: "this is a site with PostgreSQL 10 or later, and pg9 is for sites with pgmaster and pgslave", Hint: instead}}}
}

func newAutoFailoverCmd(a *app) *cobra.Command {
	var opts changeOpts
	var remove bool
	cmd := &cobra.Command{
		Use:   "auto-failover",
		Short: "Have the site's robot finish every failover, not only the first",
		Long: `auto-failover does on both servers what the site's old script auto_failover.sh does: it installs
the robot's cron for both hosts, keeps configure_master.sh, configure_slave.sh and post_failover.sh
as .bak, takes the installation of the robot out of the first two, and has the third stop each
pgpool fast and clear its stale sockets before it starts it. Where the old script has been at
work it says so, and does what is left.

It is refused (4) where a file is missing or a script does not look as expected. --remove puts the
backups back; the robot's cron stays as the site's scripts left it.`,
		Example: "  pgctl pg9 auto-failover --dry-run\n  pgctl pg9 auto-failover --yes\n  pgctl pg9 auto-failover --remove",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.autoFailover(cmd.Context(), cmd.CommandPath(), remove, opts)
		},
	}
	opts.bind(cmd.Flags())
	cmd.Flags().BoolVar(&remove, "remove", false, "put the scripts back as they were")
	return cmd
}

func (a *app) autoFailover(ctx context.Context, command string, remove bool, opts changeOpts) error {
	warn := a.warnOnce()
	return a.changeRegion(ctx, command, opts, func(ctx context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
		if err := only9x(site.Inventory, "pgctl enable-ha"); err != nil {
			return change{}, err
		}
		fix := &failover.Fixup{Servers: a.servers(site)}
		hosts := failover.Hosts9(ctx, site.Hosts, a.timeout, snap, true)
		c := change{still: func(context.Context, plan.Plan) error { return nil }}
		var err error
		if remove {
			c.plan, err = fix.RemoveAutoFailover(snap, hosts)
		} else {
			var notes []failover.FixupNote
			c.plan, notes, err = fix.AutoFailover(snap, hosts)
			for _, note := range notes {
				warn(note.Host, note.Text)
			}
		}
		c.handlers = fix.Handlers()
		return c, err
	})
}

func newPostFailoverCmd(a *app) *cobra.Command {
	var opts changeOpts
	wait := 30 * time.Minute
	cmd := &cobra.Command{
		Use:   "post-failover",
		Short: "After pgpool has promoted the slave: make the old master its slave",
		Long: `post-failover works out from servers and pools who is who, and then does the site's steps: the old
master is stopped and its data set aside, configure_master.sh, base_backup.sh and
configure_slave.sh are run, both servers restarted, the pools pointed at the new master one by
one, and pgmaster and pgslave in the inventory brought up to date. What only the old master has
is said, and lies in what is set aside.

It is refused (4) in any doubt about who is who, while the old master's host is down, and where
the site's robot is installed, which does this by itself; a robot that runs is waited for.`,
		Example: "  pgctl pg9 post-failover --dry-run\n  pgctl pg9 post-failover --yes",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.postFailover(cmd.Context(), cmd.CommandPath(), wait, opts)
		},
	}
	opts.bind(cmd.Flags())
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long to wait for a robot that runs, a `DURATION`")
	return cmd
}

func (a *app) postFailover(ctx context.Context, command string, wait time.Duration, opts changeOpts) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	p := &postFailover{app: a, here: host, wait: wait, stamp: a.stamp()}
	return a.changeRegion(ctx, command, opts, p.plan)
}

// postFailover is one run of pg9 post-failover.
type postFailover struct {
	*app
	here   string
	wait   time.Duration
	stamp  string
	waited bool // a robot ran, and has ended
	size   int64
}

func (p *postFailover) plan(ctx context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
	if err := only9x(site.Inventory, "pgctl upmaster OLD_HOST"); err != nil {
		return change{}, err
	}
	snap, hosts, err := p.awaitRobot(ctx, site, snap)
	if err != nil {
		return change{}, err
	}
	verdict, err := pg9.Judge(snap, hosts)
	if err != nil {
		return change{}, err
	}
	steps := &failover.PG9{Servers: p.servers(site), Here: p.localHost(p.here)}
	steps.Stamp = p.stamp
	if p.size == 0 && !verdict.Follows {
		p.size = steps.Size(ctx, verdict.Master)
	}
	files, err := p.nodeFiles(ctx)
	if err != nil {
		return change{}, err
	}
	made := &failover.PostFailover{
		Snap: snap, Hosts: hosts, Verdict: verdict, Here: p.here, Nodes: files, Backups: filepath.Join(stateDir, "backup"),
		Stamp: p.stamp, Size: p.size, PoolAt: poolSettings(site).ConfPath(),
	}
	c := change{preface: p.preface(verdict), still: p.still(site)}
	if c.plan, c.left, err = made.Plan(); err != nil {
		return c, err
	}
	c.handlers = steps.Handlers()
	for verb, h := range p.pools(site).Handlers() {
		c.handlers[verb] = h
	}
	return c, nil
}

// awaitRobot waits while the site's robot runs, or a step that a dead pgctl has left, and then looks once more.
func (p *postFailover) awaitRobot(ctx context.Context, site *observe.Site, snap cluster.Snapshot) (cluster.Snapshot, map[string]pg9.Host, error) {
	said := ""
	for began := p.now(); ; {
		hosts := failover.Hosts9(ctx, site.Hosts, p.timeout, snap, true)
		who := ""
		for _, s := range snap.Servers {
			switch h := hosts[s.Host]; {
			case len(h.Robot) > 0:
				who = "the site's robot runs on " + s.Host + " (post_failover.sh)"
				p.waited = true
			case h.Busy != "":
				who = "a step that an earlier pgctl began runs on " + s.Host + " (" + h.Busy + ")"
			}
		}
		if who == "" && said == "" || p.now().Sub(began) > p.wait {
			return snap, hosts, ctx.Err()
		}
		if who == "" {
			again, err := p.settled(ctx, site)
			return again, failover.Hosts9(ctx, site.Hosts, p.timeout, again, true), err
		}
		if who != said {
			fmt.Fprintf(p.err, "pgctl: %s: waiting for its end\n", who)
			said = who
		}
		select {
		case <-ctx.Done():
			return snap, nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// settle is how long pools that a robot has restarted may take to serve.
const settle = 30 * time.Second

// settled looks until the pools are as the robot meant them to be.
func (p *postFailover) settled(ctx context.Context, site *observe.Site) (cluster.Snapshot, error) {
	for began := p.now(); ; {
		snap, err := ask(ctx, site, observe.Everything)
		restless := slices.ContainsFunc(cluster.Diagnose(snap).Findings, func(f cluster.Finding) bool {
			return f.Code == cluster.PgpoolDown || f.Code == cluster.PgpoolWrongBackend || f.Code == cluster.StandbyNotStreaming
		})
		if err != nil || !restless || p.now().Sub(began) > settle {
			return snap, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// preface says, once, what the operator should know before the plan.
func (p *postFailover) preface(v pg9.Verdict) func() error {
	return func() error {
		for _, line := range v.Evidence {
			fmt.Fprintf(p.err, "pgctl: %s\n", line)
		}
		if p.waited && v.Follows {
			fmt.Fprintln(p.err, "pgctl: the site's robot has done the work on the servers")
		}
		if v.Follows {
			return nil
		}
		fmt.Fprintln(p.err, "pgctl: warning: replication is asynchronous here: rows that the old master acknowledged and the new one never received are gone from the site")
		if v.Lost != "" {
			fmt.Fprintf(p.err, "pgctl: warning: %s; it stays in what is set aside\n", v.Lost)
		}
		return nil
	}
}

// still is the guard: the master is the one of the plan, and answers; and the site's robot has not begun.
func (p *postFailover) still(site *observe.Site) func(context.Context, plan.Plan) error {
	return func(ctx context.Context, held plan.Plan) error {
		snap, err := ask(ctx, site, observe.ServersOnly)
		if err != nil {
			return err
		}
		return failover.StillPromoted(snap, failover.Hosts9(ctx, site.Hosts, p.timeout, snap, false), held)
	}
}

// nodeFiles reads the two files of the inventory.
func (p *postFailover) nodeFiles(ctx context.Context) (map[string]nodes.File, error) {
	found := map[string]nodes.File{}
	for _, role := range []string{nodes.RoleMaster, nodes.RoleSlave} {
		file := path.Join(p.confDir, "nodes", role)
		data, err := remote.ReadFile(ctx, p.localHost(p.here), file)
		if err != nil {
			return nil, err
		}
		found[role] = nodes.File{Path: file, Data: data}
	}
	return found, nil
}

func newVerifyCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "See that master, slave and pools are as they should be after a failover",
		Long: `verify sees the wal writer and the wal sender on the master, one wal receiver on the slave,
recovery.conf and recovery.done where they belong, a position that moves, and both pools right:
from PostgreSQL itself and from the process lists. It writes through each pool, by a transaction
that is rolled back at once.

Exit code 3 when something is wrong.`,
		Example: "  pgctl pg9 verify\n  pgctl pg9 verify -o json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.verify9(cmd.Context()) },
	}
}

// verifyDoc is the document of `pg9 verify -o json` (docs/json.md).
type verifyDoc struct {
	Master   *string    `json:"master"`
	Failover *string    `json:"failover"`
	Right    bool       `json:"right"`
	Checks   []checkDoc `json:"checks"`
}

type checkDoc struct {
	Host   *string `json:"host"`
	Check  string  `json:"check"`
	OK     bool    `json:"ok"`
	Detail string  `json:"detail"`
}

func (a *app) verify9(ctx context.Context) error {
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	if err := only9x(site.Inventory, "pgctl overview"); err != nil {
		return err
	}
	snap, err := ask(ctx, site, observe.Everything)
	if err != nil {
		return err
	}
	steps := &failover.PG9{Servers: a.servers(site)}
	sight := steps.Verify(ctx, snap, a.pools(site))
	if err := ctx.Err(); err != nil {
		return err
	}
	checks, right := pg9.Verify(sight)
	doc := verifyDoc{Master: known(snap.View().Master), Failover: known(string(snap.Failover())), Right: right, Checks: []checkDoc{}}
	for _, c := range checks {
		doc.Checks = append(doc.Checks, checkDoc{Host: known(c.Host), Check: c.Name, OK: c.OK, Detail: c.Detail})
	}
	if err := a.print(doc, func() error { return a.verifyTable(doc) }); err != nil {
		return err
	}
	if !right {
		return unhealthy()
	}
	return nil
}

func (a *app) verifyTable(doc verifyDoc) error {
	p := a.painter()
	t := table{header: []string{"HOST", "CHECK", "STATE", "WHAT WAS SEEN"}}
	narrow := table{header: t.header}
	for _, c := range doc.Checks {
		narrow.rows = append(narrow.rows, []string{value9(c.Host), c.Check, "wrong", ""})
	}
	room := pageWidth - narrow.width() + len("WHAT WAS SEEN")
	for _, c := range doc.Checks {
		state := p.good("ok")
		if !c.OK {
			state = p.bad("wrong")
		}
		t.rows = append(t.rows, []string{value9(c.Host), c.Check, state, wrap(c.Detail, room, "")})
	}
	headline := "SITE right, master " + p.bold(value9(doc.Master))
	if !doc.Right {
		headline = "SITE wrong, master " + value9(doc.Master)
	}
	return page{headline: headline, tables: []table{t}}.write(a.out)
}

func value9(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}
