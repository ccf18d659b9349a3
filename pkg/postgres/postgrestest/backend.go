// Package postgrestest is a PostgreSQL server without a database, for unit tests: it speaks the protocol and gives
// recorded answers.
package postgrestest

import (
	"errors"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Backend is what the server answers.
type Backend struct {
	Version  string        // server_version
	Password string        // asked for in clear text and compared, unless empty
	Refuse   *Refusal      // the answer to every startup
	Rows     []string      // the answer to every query: one result of one row and one column each
	Delay    time.Duration // before every answer
}

// Refusal is an error of the server.
type Refusal struct{ Code, Message string }

// Serve answers one session until its end.
func (b Backend) Serve(conn io.ReadWriter) error {
	p := pgproto3.NewBackend(conn, conn)
	if err := b.startup(conn, p); err != nil {
		return err
	}
	for {
		message, err := p.Receive()
		if err != nil {
			return err
		}
		switch message.(type) {
		case *pgproto3.Terminate:
			return nil
		case *pgproto3.Query:
			time.Sleep(b.Delay)
			for _, row := range b.Rows {
				p.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("row_to_json"), DataTypeOID: 114, DataTypeSize: -1, TypeModifier: -1}}})
				p.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(row)}})
				p.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
			}
			p.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if err := p.Flush(); err != nil {
				return err
			}
		}
	}
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
