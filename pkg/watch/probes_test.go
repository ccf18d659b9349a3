package watch

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

func TestTrialBrief(t *testing.T) {
	tests := []struct {
		name    string
		trial   trial
		settled bool
		want    bool
	}{
		{"a master", trial{answer: cluster.AnswerMaster, full: time.Minute}, true, true},
		{"a standby", trial{answer: cluster.AnswerStandby, full: time.Minute}, true, true},
		{"something is under way", trial{answer: cluster.AnswerMaster, full: time.Minute}, false, false},
		{"asked long ago", trial{answer: cluster.AnswerMaster, full: time.Minute - fullEvery + time.Second}, true, false},
		{"it was down", trial{answer: cluster.AnswerRefused, full: time.Minute}, true, false},
		{"it did not say what it is", trial{answer: cluster.AnswerAuth, full: time.Minute}, true, false},
		{"never asked", trial{}, true, false},
		{"a knock is no use", trial{answer: cluster.AnswerMaster, full: time.Minute, plain: true}, true, false},
	}
	for _, tt := range tests {
		if got := tt.trial.brief(time.Minute+time.Second, tt.settled); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestTrialNext(t *testing.T) {
	master, standby := trial{answer: cluster.AnswerMaster, full: 1}, trial{answer: cluster.AnswerStandby, full: 1}
	tests := []struct {
		name   string
		before trial
		brief  bool
		knock  cluster.Answer
		sasl   bool
		full   cluster.Answer // "": it is not asked
		after  trial
		life   cluster.Answer
	}{
		{"in full", trial{}, false, "", false, cluster.AnswerMaster, trial{answer: cluster.AnswerMaster, full: 9}, cluster.AnswerMaster},
		{"in full, without an answer", master, false, "", false, cluster.AnswerNone, trial{answer: cluster.AnswerNone, full: 1}, cluster.AnswerNone},
		{"a master asks for the password", master, true, cluster.AnswerAuth, true, "", master, cluster.AnswerAuth},
		{"a standby asks for the password", standby, true, cluster.AnswerAuth, true, "", standby, cluster.AnswerStandby},
		{"a knock without an answer", master, true, cluster.AnswerNone, false, "", trial{answer: cluster.AnswerNone, full: 1}, cluster.AnswerNone},
		{"a knock at a server that stops", master, true, cluster.AnswerRefused, false, "", trial{answer: cluster.AnswerRefused, full: 1}, cluster.AnswerRefused},
		{"a knock at a server that is full", master, true, cluster.AnswerFull, false, "", trial{answer: cluster.AnswerFull, full: 1}, cluster.AnswerFull},
		{"let in at once, or not without encryption", master, true, cluster.AnswerAuth, false, cluster.AnswerStandby, trial{answer: cluster.AnswerStandby, full: 9, plain: true}, cluster.AnswerStandby},
	}
	for _, tt := range tests {
		asked := false
		after, life := tt.before.next(tt.brief, 9, func() (cluster.Answer, bool) { return tt.knock, tt.sasl }, func() cluster.Answer { asked = true; return tt.full })
		if after != tt.after || life != tt.life || asked != (tt.full != "") {
			t.Errorf("%s: got %+v, %q, asked %v; expected %+v, %q", tt.name, after, life, asked, tt.after, tt.life)
		}
	}
}

func TestMayKnock(t *testing.T) {
	for mode, want := range map[string]bool{"": true, "prefer": true, "disable": true, "allow": true, "require": false, "verify-ca": false, "verify-full": false} {
		if got := mayKnock(postgres.ConnInfo{"user": "repl", "sslmode": mode}); got != want {
			t.Errorf("sslmode %q: got %v", mode, got)
		}
	}
	if mayKnock(nil) {
		t.Error("as nobody")
	}
}

// doorman answers startup packets with one message each, and says what it was told.
func doorman(t *testing.T, answer pgproto3.BackendMessage) (port int, said <-chan map[string]string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	heard := make(chan map[string]string, 8)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			back := pgproto3.NewBackend(conn, conn)
			if message, err := back.ReceiveStartupMessage(); err == nil && answer != nil {
				heard <- message.(*pgproto3.StartupMessage).Parameters
				back.Send(answer)
				_ = back.Flush()
			}
			conn.Close()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, heard
}

func TestKnock(t *testing.T) {
	tests := []struct {
		name    string
		message pgproto3.BackendMessage
		answer  cluster.Answer
		sasl    bool
	}{
		{"SCRAM", &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}, cluster.AnswerAuth, true},
		{"MD5", &pgproto3.AuthenticationMD5Password{}, cluster.AnswerAuth, false},
		{"trust", &pgproto3.AuthenticationOk{}, cluster.AnswerAuth, false},
		{"no line in pg_hba.conf", &pgproto3.ErrorResponse{Severity: "FATAL", Code: "28000"}, cluster.AnswerAuth, false},
		{"it stops", &pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03"}, cluster.AnswerRefused, false},
		{"full", &pgproto3.ErrorResponse{Severity: "FATAL", Code: "53300"}, cluster.AnswerFull, false},
		{"hangs up", nil, cluster.AnswerNone, false},
	}
	for _, tt := range tests {
		port, said := doorman(t, tt.message)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		answer, sasl := knock(ctx, "127.0.0.1", port, map[string]string{"user": "repl", "replication": "true"})
		cancel()
		if answer != tt.answer || sasl != tt.sasl {
			t.Errorf("%s: got %q, %v", tt.name, answer, sasl)
		}
		if tt.message != nil {
			if p := <-said; p["user"] != "repl" || p["replication"] != "true" || p["application_name"] != "pgctl.probe" {
				t.Errorf("%s: it was told %v", tt.name, p)
			}
		}
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := net.SplitHostPort(gone.Addr().String())
	gone.Close()
	port, _ := strconv.Atoi(text)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if answer, _ := knock(ctx, "127.0.0.1", port, map[string]string{}); answer != cluster.AnswerRefused {
		t.Errorf("nobody listens: got %q", answer)
	}
}

// TestStranger: a server that keeps a host out says so in its log once in a while, not each second, and answers each time.
func TestStranger(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	logged, greeted := 0, 0
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			back := pgproto3.NewBackend(conn, conn)
			message, err := back.ReceiveStartupMessage()
			switch message.(type) {
			case *pgproto3.SSLRequest:
				greeted++
				_, _ = conn.Write([]byte("N"))
			case *pgproto3.StartupMessage:
				logged++
				back.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28000"})
				_ = back.Flush()
			default:
				t.Errorf("%T %v", message, err)
			}
			conn.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	p := newProbes()
	for i := range 21 {
		if answer := p.stranger("db1", "127.0.0.1", port, time.Duration(i)*time.Second, false); answer != cluster.AnswerAuth {
			t.Errorf("after %d s: %q", i, answer)
		}
	}
	if logged != 3 || greeted != 18 {
		t.Errorf("%d lines in the log, %d greetings", logged, greeted)
	}
	if p.stranger("db1", "127.0.0.1", port, 70*time.Second, true); logged != 3 {
		t.Error("all is well, and it was told 50 s after the last time")
	}
	listener.Close()
	if answer := p.stranger("db1", "127.0.0.1", port, 71*time.Second, true); answer != cluster.AnswerRefused {
		t.Errorf("it is gone: %q", answer)
	}
}
