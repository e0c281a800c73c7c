package adminapi

import (
	"context"

	"idp/internal/admin"
)

// named is a collection of things that go by names of their own: the operations
// are the same for all, and these are what they need of the service.
type named[T any] struct {
	path  string // below /admin
	value string // of the route to one of them: which part of the path is its name
	name  func(T) string

	all    func(*admin.Service, context.Context) ([]T, error)
	one    func(*admin.Service, context.Context, string) (T, error)
	add    func(*admin.Service, context.Context, T) error
	change func(*admin.Service, context.Context, string, func(*T)) (T, error)
	remove func(*admin.Service, context.Context, string) error
}

func (n named[T]) list(c *call) (answer, error) {
	p, err := c.page(n.path)
	if err != nil {
		return answer{}, err
	}
	all, err := n.all(c.admin, c.Context())
	if err != nil {
		return answer{}, err
	}
	return listed(c, p, sorted(all, n.name), n.name)
}

func (n named[T]) create(c *call) (answer, error) {
	var in T
	if err := c.input(&in); err != nil {
		return answer{}, err
	}
	if err := n.add(c.admin, c.Context(), in); err != nil {
		return answer{}, err
	}
	return c.created(in, n.path, n.name(in)), nil
}

func (n named[T]) find(c *call) (T, error) {
	return n.one(c.admin, c.Context(), c.PathValue(n.value))
}

func (n named[T]) get(c *call) (answer, error) {
	found, err := n.find(c)
	if err != nil {
		return answer{}, err
	}
	return shown(found), nil
}

func (n named[T]) replace(c *call) (answer, error) {
	return n.update(c, func(T) (in T, err error) { return in, c.input(&in) })
}

func (n named[T]) patch(c *call) (answer, error) {
	return n.update(c, func(before T) (in T, err error) { return in, c.patched(before, &in) })
}

func (n named[T]) update(c *call, read func(before T) (T, error)) (answer, error) {
	before, err := n.find(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(before)); err != nil {
		return answer{}, err
	}
	in, err := read(before)
	if err != nil {
		return answer{}, err
	}
	if n.name(in) != "" && n.name(in) != n.name(before) {
		return answer{}, invalidMember("name", "is another one than the address names")
	}
	late := false
	after, err := n.change(c.admin, c.Context(), n.name(before), func(t *T) {
		if late = !c.still(before, *t); !late {
			*t = in
		}
	})
	if late {
		err = preconditionFailed()
	}
	if err != nil {
		return answer{}, err
	}
	return shown(after), nil
}

func (n named[T]) delete(c *call) (answer, error) {
	found, err := n.find(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(found)); err != nil {
		return answer{}, err
	}
	return gone(n.remove(c.admin, c.Context(), n.name(found)))
}
