/* What every hook call costs at least: a plugin that passes every request on. `jackfield plugin bench` measures it beside another.
 * no-op.wasm is what `jackfield plugin build` makes of it. */
#include "plugin.h"

#include <stdlib.h>

bool exports_jackfield_plugin_lifecycle_init(
    plugin_string_t *config, exports_jackfield_plugin_lifecycle_environment_t *env,
    exports_jackfield_plugin_lifecycle_list_subscription_t *ret, plugin_string_t *err) {
    ret->ptr = calloc(1, sizeof *ret->ptr);
    ret->len = 1;
    ret->ptr->hooks = JACKFIELD_PLUGIN_TYPES_HOOKS_REQUEST;
    return true;
}

bool exports_jackfield_plugin_lifecycle_self_check(plugin_string_t *err) { return true; }

void exports_jackfield_plugin_lifecycle_shutdown(void) {}

bool exports_jackfield_plugin_on_request_handle(
    exports_jackfield_plugin_on_request_borrow_request_t req, exports_jackfield_plugin_on_request_decision_t *ret,
    plugin_string_t *err) {
    *ret = (exports_jackfield_plugin_on_request_decision_t){.tag = JACKFIELD_PLUGIN_TYPES_DECISION_NEXT};
    return true;
}
