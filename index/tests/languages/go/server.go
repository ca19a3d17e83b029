// Package server answers requests.
package server

import (
	"context"
	"fmt"

	sql "database/sql"
	_ "embed"
	"example.org/shop/internal/store"
)

// MaxBody is the largest body, in bytes.
const MaxBody = 1 << 20

const (
	StateOpen State = iota
	StateClosed
)

var (
	ErrClosed = fmt.Errorf("closed")
	registry  = map[string]Handler{}
)

type State int

type Handler func(ctx context.Context, request *Request) (*Response, error)

// Store keeps things.
type Store interface {
	Get(ctx context.Context, id int64) (*Item, error)
	fmt.Stringer
}

// Server answers.
type Server struct {
	store.Base
	mu    sync.Mutex
	state State `json:"state"`
}

type (
	Item struct{ ID int64 }
	Key  = string
)

type List[T any] struct {
	head *node[T]
}

// Push adds a value at the front.
func (l *List[T]) Push(value T) {
	l.head = &node[T]{value: value, next: l.head}
}

func Map[T, U any](in []T, f func(T) U) []U {
	out := make([]U, 0, len(in))
	for _, v := range in {
		out = append(out, f(v))
	}
	return out
}

// New makes a server
// that is open.
func New(base store.Base) *Server {
	return &Server{Base: base, state: StateOpen}
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	go func() {
		defer s.mu.Unlock()
		s.mu.Lock()
	}()
	raw := `not closed { func no() {}`
	fmt.Fprintln(w, raw, sql.ErrNoRows)
}

func (Server) name() string { return "server" }

func init() { registry["x"] = nil }
