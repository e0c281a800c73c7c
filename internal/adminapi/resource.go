package adminapi

import (
	"net/http"
	"net/url"
	"time"

	"idp/internal/idp"
)

// Resources answers /admin/resources.
func (a *API) Resources(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:  {idp.ScopeResourcesRead, listResources},
		http.MethodPost: {idp.ScopeResources, createResource},
	})
}

// Resource answers /admin/resources/{audience}.
func (a *API) Resource(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:    {idp.ScopeResourcesRead, getResource},
		http.MethodPut:    {idp.ScopeResources, replaceResource},
		http.MethodPatch:  {idp.ScopeResources, patchResource},
		http.MethodDelete: {idp.ScopeResources, deleteResource},
	})
}

// resource is an API as the API shows it.
type resource struct {
	idp.Resource
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func viewResource(r idp.Resource) resource { return resource{r, r.CreatedAt, r.UpdatedAt} }

// timesOfTheServer are the members of a resource that a caller may only send
// back.
var timesOfTheServer = []string{"created_at", "updated_at"}

// resourceInput is a resource as a caller writes it.
type resourceInput struct {
	Audience string `json:"audience"`
	idp.ResourceMetadata
}

func listResources(c *call) (answer, error) {
	p, err := c.page("resources")
	if err != nil {
		return answer{}, err
	}
	all, err := c.admin.Resources(c.Context())
	if err != nil {
		return answer{}, err
	}
	var views []resource
	for _, r := range all {
		views = append(views, viewResource(r))
	}
	return listed(c, p, views, func(r resource) string { return r.Audience })
}

func createResource(c *call) (answer, error) {
	var in resourceInput
	if err := c.input(&in, timesOfTheServer...); err != nil {
		return answer{}, err
	}
	made, err := c.admin.CreateResource(c.Context(), in.Audience, in.ResourceMetadata)
	if err != nil {
		return answer{}, err
	}
	return c.created(viewResource(made), "resources", made.Audience), nil
}

func getResource(c *call) (answer, error) {
	found, err := c.admin.Resource(c.Context(), c.PathValue("audience"))
	if err != nil {
		return answer{}, err
	}
	return shown(viewResource(found)), nil
}

func replaceResource(c *call) (answer, error) {
	return c.changeResource(func(idp.Resource) (in resourceInput, err error) { return in, c.input(&in, timesOfTheServer...) })
}

func patchResource(c *call) (answer, error) {
	return c.changeResource(func(before idp.Resource) (in resourceInput, err error) {
		return in, c.patched(viewResource(before), &in, timesOfTheServer...)
	})
}

func (c *call) changeResource(read func(before idp.Resource) (resourceInput, error)) (answer, error) {
	before, err := c.admin.Resource(c.Context(), c.PathValue("audience"))
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(viewResource(before))); err != nil {
		return answer{}, err
	}
	in, err := read(before)
	if err != nil {
		return answer{}, err
	}
	if in.Audience != "" && in.Audience != before.Audience {
		return answer{}, invalidMember("audience", "is another one than the address names")
	}
	late := false
	after, err := c.admin.UpdateResource(c.Context(), before.Audience, func(m *idp.ResourceMetadata) {
		if late = !c.still(before.ResourceMetadata, *m); !late {
			*m = in.ResourceMetadata
		}
	})
	if late {
		err = preconditionFailed()
	}
	if err != nil {
		return answer{}, err
	}
	return shown(viewResource(after)), nil
}

func deleteResource(c *call) (answer, error) {
	found, err := c.admin.Resource(c.Context(), c.PathValue("audience"))
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(viewResource(found))); err != nil {
		return answer{}, err
	}
	return gone(c.admin.DeleteResource(c.Context(), found.Audience))
}

// shown answers with a thing as it is.
func shown(body any) answer { return answer{status: http.StatusOK, body: body, etag: etag(body)} }

// created answers with a thing that was made just now, and says where it is.
func (c *call) created(body any, place ...string) answer {
	location := c.api.Issuer + "/admin"
	for _, part := range place {
		location += "/" + url.PathEscape(part)
	}
	return answer{status: http.StatusCreated, body: body, etag: etag(body), header: map[string]string{"Location": location}}
}

// gone answers that there is nothing to tell.
func gone(err error) (answer, error) { return answer{status: http.StatusNoContent}, err }

// listed answers with a page of a whole list.
func listed[T any](c *call, p page, all []T, name func(T) string) (answer, error) {
	part, header, err := cut(c, p, all, name)
	if part == nil {
		part = []T{}
	}
	return answer{status: http.StatusOK, body: part, header: header}, err
}
