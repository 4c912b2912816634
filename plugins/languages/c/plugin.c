/* A routing plugin for Jackfield: sends calls to the next hop of the account that X-Account, or the parameter `line` of the
 * Request-URI, names.
 *
 *     [plugins.by-account.config]
 *     account = { 12345678 = "sip:192.0.2.1:5060" }
 *     line = { abc = "12345678" }
 *
 * What is handed back to the host is freed by the bindings: it has to come from malloc. */
#include "plugin.h"

#include <stdlib.h>
#include <string.h>

#include "settings.h"

static struct settings settings;

static void *make(size_t size) {
    void *made = calloc(1, size);
    /* The host replaces the instance. */
    if (!made) __builtin_trap();
    return made;
}

static plugin_string_t text(const char *text) {
    plugin_string_t made;
    plugin_string_dup(&made, text);
    return made;
}

static plugin_string_t copy(const uint8_t *ptr, size_t len) {
    plugin_string_t made;
    plugin_string_dup_n(&made, (const char *)ptr, len);
    return made;
}

bool exports_jackfield_plugin_lifecycle_init(
    plugin_string_t *config, exports_jackfield_plugin_lifecycle_environment_t *env,
    exports_jackfield_plugin_lifecycle_list_subscription_t *ret, plugin_string_t *err) {
    char error[256];
    bool good = settings_read(&settings, config->ptr, config->len, error, sizeof error);
    plugin_string_free(config);
    exports_jackfield_plugin_lifecycle_environment_free(env);
    if (!good) {
        *err = text(error[0] ? error : "the configuration cannot be read");
        return false;
    }
    ret->ptr = make(sizeof *ret->ptr);
    ret->len = 1;
    ret->ptr->hooks = JACKFIELD_PLUGIN_TYPES_HOOKS_REQUEST;
    ret->ptr->methods.ptr = make(sizeof(plugin_string_t));
    ret->ptr->methods.len = 1;
    ret->ptr->methods.ptr[0] = text("INVITE");
    ret->ptr->initial_only = true;
    return true;
}

bool exports_jackfield_plugin_lifecycle_self_check(plugin_string_t *err) { return true; }

void exports_jackfield_plugin_lifecycle_shutdown(void) {}

static bool reply(exports_jackfield_plugin_on_request_decision_t *ret, uint16_t status, const char *reason) {
    ret->tag = JACKFIELD_PLUGIN_TYPES_DECISION_REPLY;
    ret->val.reply.status = status;
    ret->val.reply.reason.is_some = true;
    ret->val.reply.reason.val = text(reason);
    return true;
}

static bool forward(exports_jackfield_plugin_on_request_decision_t *ret, const struct text *next_hop, struct text account) {
    jackfield_plugin_types_target_t *target = make(sizeof *target);
    target->weight = 1;
    target->tag = copy(account.ptr, account.len);
    target->options.ptr = make(sizeof *target->options.ptr);
    target->options.len = 1;
    target->options.ptr[0].name = text("next-hop");
    target->options.ptr[0].value = copy(next_hop->ptr, next_hop->len);
    target->edits.ptr = make(sizeof *target->edits.ptr);
    target->edits.len = 1;
    target->edits.ptr[0].tag = JACKFIELD_PLUGIN_TYPES_EDIT_SET;
    target->edits.ptr[0].val.set.name = text("X-Routed-By");
    target->edits.ptr[0].val.set.value = text("by-account");

    jackfield_plugin_types_group_t *group = make(sizeof *group);
    group->mode = JACKFIELD_PLUGIN_TYPES_MODE_SERIAL;
    group->targets.ptr = target;
    group->targets.len = 1;
    ret->tag = JACKFIELD_PLUGIN_TYPES_DECISION_FORWARD;
    ret->val.forward.groups.ptr = group;
    ret->val.forward.groups.len = 1;
    ret->val.forward.record_route = true;
    return true;
}

bool exports_jackfield_plugin_on_request_handle(
    exports_jackfield_plugin_on_request_borrow_request_t req, exports_jackfield_plugin_on_request_decision_t *ret,
    plugin_string_t *err) {
    memset(ret, 0, sizeof *ret);
    plugin_string_t name, value;
    struct text account;
    plugin_string_set(&name, "line");
    bool by_line = jackfield_plugin_message_method_request_uri_param(req, &name, &value);
    if (by_line) {
        const struct text *found = table_find(&settings.line, value.ptr, value.len);
        plugin_string_free(&value);
        if (!found) return reply(ret, 404, "Unknown Line");
        account = *found;
    } else {
        plugin_string_set(&name, "X-Account");
        /* Neither the one nor the other: not ours. The decision is zeroed, which is "next", without edits. */
        if (!jackfield_plugin_message_method_request_header(req, &name, &value)) return true;
        account = (struct text){value.ptr, value.len};
    }
    const struct text *next_hop = table_find(&settings.account, account.ptr, account.len);
    bool decided = next_hop ? forward(ret, next_hop, account) : reply(ret, 403, "Unknown Account");
    if (!by_line) plugin_string_free(&value);
    return decided;
}
