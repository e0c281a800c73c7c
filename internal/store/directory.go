package store

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"idp/internal/idp"
)

// The topics of revisions: what nodes keep in memory.
const (
	topicDirectory = "directory"
	topicKeys      = "keys"
)

const bumpRevision = `UPDATE revisions SET revision = revision + 1 WHERE topic = $1`

// changeTopic runs f and writes the events in one transaction that moves the
// topic's revision. The revision comes first: its row lock puts all changes of
// a topic in one order, so whoever has seen a revision misses nothing before it.
func (s *Store) changeTopic(ctx context.Context, topic string, events []idp.Event, f func(q querier) error) error {
	err := s.change(ctx, events, func(q querier) (bool, error) {
		if _, err := q.exec(ctx, bumpRevision, topic); err != nil {
			return false, err
		}
		return true, f(q)
	})
	if err == nil {
		s.refreshDirectories(ctx)
	}
	return err
}

// changeDirectory is changeTopic for clients, resources, roles and settings.
func (s *Store) changeDirectory(ctx context.Context, events []idp.Event, f func(q querier) error) error {
	return s.changeTopic(ctx, topicDirectory, events, f)
}

// refreshDirectories lets this process see its own change at once.
func (s *Store) refreshDirectories(ctx context.Context) {
	s.mu.Lock()
	directories := slices.Clone(s.directories)
	s.mu.Unlock()
	for _, d := range directories {
		if err := d.Refresh(context.WithoutCancel(ctx)); err != nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "directory not refreshed, the next poll will", slog.Any("error", err))
		}
	}
}

const selectRevisions = `SELECT topic, revision FROM revisions`

// Revisions returns how often each topic changed.
func (s *Store) Revisions(ctx context.Context) (map[string]int64, error) {
	revisions := map[string]int64{}
	err := s.port.query(ctx, func(r row) error {
		var topic string
		var revision int64
		if err := r.Scan(&topic, &revision); err != nil {
			return err
		}
		revisions[topic] = revision
		return nil
	}, selectRevisions)
	return revisions, err
}

// Directory holds all clients, resources, roles and the sign-in policy in
// memory, so that no request reads them from the database. What it returns is shared: nobody
// changes it.
type Directory struct {
	store      *Store
	builtIn    []*idp.Resource
	refreshing sync.Mutex
	current    atomic.Pointer[snapshot]
}

// snapshot is the directory at one revision. It never changes.
type snapshot struct {
	revisions map[string]int64
	stored    map[string]*idp.Client // as the database has them
	validFrom time.Time              // the global TokensValidAfter
	policy    idp.SignInPolicy

	clients      map[string]*idp.Client // with the global TokensValidAfter
	clientList   []*idp.Client
	resources    map[string]*idp.Resource
	resourceList []*idp.Resource
	owners       map[string][]*idp.Resource
	roles        []idp.Role
	origins      map[string]struct{}
}

// LoadDirectory reads the directory. The store's own writes refresh it at once;
// those of other processes are seen by Refresh. Resources that are built in can
// be found as if they were registered, and are not listed.
func (s *Store) LoadDirectory(ctx context.Context, builtIn ...*idp.Resource) (*Directory, error) {
	d := &Directory{store: s, builtIn: builtIn}
	d.current.Store(&snapshot{})
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.directories = append(s.directories, d)
	return d, nil
}

// Refresh asks for the revisions and reloads what changed. When that fails the
// directory stays as it was.
func (d *Directory) Refresh(ctx context.Context) error {
	d.refreshing.Lock()
	defer d.refreshing.Unlock()
	revisions, err := d.store.Revisions(ctx)
	if err != nil {
		return err
	}
	old := d.current.Load()
	if maps.Equal(revisions, old.revisions) {
		return nil
	}
	next := *old
	next.revisions = revisions
	if revisions[topicDirectory] != old.revisions[topicDirectory] {
		if err := d.reload(ctx, old, &next); err != nil {
			return err
		}
	}
	d.current.Store(&next)
	return nil
}

// TokensValidAfter returns the time before which everything that was issued is
// dead, whatever the client; zero for none.
func (d *Directory) TokensValidAfter() time.Time { return d.current.Load().validFrom }

// reload reads everything that is newer than the old snapshot. Rows even newer
// than the revision that was read may be among them; they come again next time.
func (d *Directory) reload(ctx context.Context, old, next *snapshot) error {
	since := old.revisions[topicDirectory]
	if next.revisions[topicDirectory] < since {
		since = 0 // another database, restored from a backup
	}
	changed, deleted, err := d.store.changedClients(ctx, since)
	if err != nil {
		return err
	}
	if next.resourceList, err = d.store.resources(ctx); err != nil {
		return err
	}
	if next.roles, err = roles(ctx, d.store.port); err != nil {
		return err
	}
	if next.validFrom, err = tokensValidAfter(ctx, d.store.port); err != nil {
		return err
	}
	if next.policy, err = signInPolicy(ctx, d.store.port); err != nil {
		return err
	}
	next.stored = map[string]*idp.Client{}
	if since > 0 {
		maps.Copy(next.stored, old.stored)
	}
	for _, id := range deleted {
		delete(next.stored, id)
	}
	for _, c := range changed {
		next.stored[c.ClientID] = c
	}
	next.index(d.builtIn)
	return nil
}

// index derives what is looked up from what was read.
func (n *snapshot) index(builtIn []*idp.Resource) {
	n.clients = make(map[string]*idp.Client, len(n.stored))
	n.clientList = make([]*idp.Client, 0, len(n.stored))
	n.origins = map[string]struct{}{}
	for id, c := range n.stored {
		if c.TokensValidAfter.Before(n.validFrom) {
			merged := *c
			merged.TokensValidAfter = n.validFrom
			c = &merged
		}
		n.clients[id] = c
		n.clientList = append(n.clientList, c)
		if !c.Disabled {
			for _, origin := range c.AllowedCORSOrigins {
				n.origins[origin] = struct{}{}
			}
		}
	}
	slices.SortFunc(n.clientList, func(a, b *idp.Client) int { return strings.Compare(a.ClientID, b.ClientID) })
	n.resources = make(map[string]*idp.Resource, len(n.resourceList))
	n.owners = map[string][]*idp.Resource{}
	for _, r := range slices.Concat(n.resourceList, builtIn) {
		n.resources[r.Audience] = r
		for _, scope := range r.Scopes {
			n.owners[scope.Name] = append(n.owners[scope.Name], r)
		}
	}
}

// Client finds a client, disabled ones too.
func (d *Directory) Client(id string) (*idp.Client, bool) {
	c, ok := d.current.Load().clients[id]
	return c, ok
}

// Clients returns all clients by identifier.
func (d *Directory) Clients() []*idp.Client { return slices.Clone(d.current.Load().clientList) }

// Resource finds a resource by its audience, also one that is built in.
func (d *Directory) Resource(audience string) (*idp.Resource, bool) {
	r, ok := d.current.Load().resources[audience]
	return r, ok
}

// Resources returns all registered resources by audience.
func (d *Directory) Resources() []*idp.Resource { return slices.Clone(d.current.Load().resourceList) }

// ScopeOwner returns the resources that have a scope of that name, by audience,
// those that are built in last.
func (d *Directory) ScopeOwner(scope string) []*idp.Resource { return d.current.Load().owners[scope] }

// Roles returns all roles by name.
func (d *Directory) Roles() []idp.Role { return d.current.Load().roles }

// SignInPolicy returns what is asked of a sign-in.
func (d *Directory) SignInPolicy() idp.SignInPolicy { return d.current.Load().policy }

// OriginAllowed reports whether any enabled client allows scripts of the
// origin.
func (d *Directory) OriginAllowed(origin string) bool {
	_, ok := d.current.Load().origins[origin]
	return ok
}

// Revision returns the revision of a topic, "directory" or "keys", at the last
// refresh.
func (d *Directory) Revision(topic string) int64 { return d.current.Load().revisions[topic] }
