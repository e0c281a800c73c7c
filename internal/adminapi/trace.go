package adminapi

import (
	"net/http"

	"idp/internal/idp"
)

// Trace answers /admin/traces/{request_id}.
func (a *API) Trace(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodGet: {idp.ScopeAuditRead, personal("trace", func(c *call) (answer, error) {
		explanation, err := c.admin.Explain(c.Context(), c.PathValue("request_id"))
		return answer{status: http.StatusOK, body: explanation}, err
	})}})
}
