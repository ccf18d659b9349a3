// Package postgrestest is a PostgreSQL server without a database, for unit tests: it speaks the protocol and gives
// recorded answers.
package postgrestest

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Backend is what the server answers.
type Backend struct {
	Version  string   // server_version
	Password string   // asked for in clear text and compared, unless empty
	Refuse   *Refusal // the answer to every startup
	Rows     []string // the answer to every query: one result of one row and one column each
	// Answer, where set, answers every query and every prepared statement in place of Rows: the rows, as text.
	Answer func(sql string, args ...string) [][]string
	Delay  time.Duration // before every answer
	// Table, where set, answers every query with named columns in place of Rows.
	Table func(sql string) (columns []string, rows [][]string)
	// Asked, where set, is told of every query.
	Asked func(sql string)
}

// Refusal is an error of the server.
type Refusal struct{ Code, Message string }

// Serve answers one session until its end.
func (b Backend) Serve(conn io.ReadWriter) error {
	p := pgproto3.NewBackend(conn, conn)
	if err := b.startup(conn, p); err != nil {
		return err
	}
	parsed := ""
	for {
		message, err := p.Receive()
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.Terminate:
			return nil
		case *pgproto3.Query:
			time.Sleep(b.Delay)
			b.answer(p, m.String)
			p.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Parse:
			parsed = m.Query
			p.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Bind:
			p.Send(&pgproto3.BindComplete{})
			b.send(p, b.Answer(parsed, texts(m.Parameters)...))
		case *pgproto3.Sync:
			p.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		}
		if err := p.Flush(); err != nil {
			return err
		}
	}
}

// answer answers a query without arguments.
func (b Backend) answer(p *pgproto3.Backend, sql string) {
	if b.Asked != nil {
		b.Asked(sql)
	}
	if b.Table != nil {
		columns, rows := b.Table(sql)
		sendNamed(p, columns, rows)
		return
	}
	if b.Answer != nil {
		b.send(p, b.Answer(sql))
		return
	}
	for _, row := range b.Rows {
		b.send(p, [][]string{{row}})
	}
}

// send sends one result.
func (b Backend) send(p *pgproto3.Backend, rows [][]string) {
	var columns []string
	if len(rows) > 0 {
		columns = slices.Repeat([]string{"column"}, len(rows[0]))
	}
	sendNamed(p, columns, rows)
}

func sendNamed(p *pgproto3.Backend, columns []string, rows [][]string) {
	if len(columns) > 0 {
		fields := make([]pgproto3.FieldDescription, len(columns))
		for i, name := range columns {
			fields[i] = pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}
		}
		p.Send(&pgproto3.RowDescription{Fields: fields})
	}
	for _, row := range rows {
		values := make([][]byte, len(row))
		for i, v := range row {
			values[i] = []byte(v)
		}
		p.Send(&pgproto3.DataRow{Values: values})
	}
	p.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT")})
}

func texts(values [][]byte) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
}

// startup refuses TLS, asks for the password, and greets or refuses.
func (b Backend) startup(conn io.ReadWriter, p *pgproto3.Backend) error {
	for {
		message, err := p.ReceiveStartupMessage()
		if err != nil {
			return err
		}
		if _, ok := message.(*pgproto3.StartupMessage); ok {
			break
		}
		if _, err := conn.Write([]byte{'N'}); err != nil {
			return err
		}
	}
	time.Sleep(b.Delay)
	if b.Refuse != nil {
		return b.refuse(p, b.Refuse)
	}
	if b.Password != "" {
		p.Send(&pgproto3.AuthenticationCleartextPassword{})
		if err := errors.Join(p.Flush(), p.SetAuthType(pgproto3.AuthTypeCleartextPassword)); err != nil {
			return err
		}
		message, err := p.Receive()
		if err != nil {
			return err
		}
		if given, ok := message.(*pgproto3.PasswordMessage); !ok || given.Password != b.Password {
			return b.refuse(p, &Refusal{"28P01", `password authentication failed for user "postgres"`})
		}
	}
	p.Send(&pgproto3.AuthenticationOk{})
	p.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: b.Version})
	p.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	p.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return p.Flush()
}

func (b Backend) refuse(p *pgproto3.Backend, r *Refusal) error {
	p.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: r.Code, Message: r.Message})
	if err := p.Flush(); err != nil {
		return err
	}
	return io.EOF
}
