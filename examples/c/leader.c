// A recipe: of all candidates the longest-standing one is the leader.
//
// A candidate is an ephemeral znode below <root>/candidates that a client made. The leader's name
// stands in <root>/leader, which is ephemeral on the leader's own session: it goes when the
// leader goes, and the next reaction names another.
//
// Nothing is freed: each reaction runs in an instance of its own, which is dropped behind it.

#include "recipe.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 1024

// The binding's config is one JSON string without escapes: "/election".
static bool read_root(char *root, size_t size) {
    recipe_string_t json;
    innkeeper_guest_config_get(&json);
    if (json.len < 2 || json.len - 2 >= size || json.ptr[0] != '"') return false;
    memcpy(root, json.ptr + 1, json.len - 2);
    root[json.len - 2] = 0;
    return true;
}

static bool fail(recipe_string_t *err, const char *sentence) {
    recipe_string_dup(err, sentence);
    return false;
}

bool exports_recipe_react(recipe_list_event_t *events, recipe_string_t *err) {
    (void)events;
    char root[PATH_MAX_BYTES / 2], text[PATH_MAX_BYTES];
    if (!read_root(root, sizeof root)) return fail(err, "config is not a path as a JSON string");

    recipe_string_t leader, candidates;
    snprintf(text, sizeof text, "%s/leader", root);
    recipe_string_dup(&leader, text);
    snprintf(text, sizeof text, "%s/candidates", root);
    recipe_string_dup(&candidates, text);

    innkeeper_guest_transaction_error_t code;
    innkeeper_guest_transaction_option_stat_t stat;
    if (!innkeeper_guest_transaction_exists(&leader, &stat, &code))
        return fail(err, "the binding does not grant the leader's path");
    if (stat.is_some) return true;

    recipe_list_string_t names;
    if (!innkeeper_guest_transaction_children(&candidates, &names, &code))
        return fail(err, "there is no znode of candidates");

    recipe_string_t name = {0}, path = {0};
    int64_t since = INT64_MAX;
    for (size_t i = 0; i < names.len; i++) {
        recipe_string_t candidate;
        snprintf(text, sizeof text, "%s/candidates/%.*s", root, (int)names.ptr[i].len,
                 (const char *)names.ptr[i].ptr);
        recipe_string_dup(&candidate, text);
        if (!innkeeper_guest_transaction_exists(&candidate, &stat, &code))
            return fail(err, "the binding does not grant the candidates' paths");
        if (stat.is_some && stat.val.ephemeral_owner != 0 && stat.val.czxid < since) {
            since = stat.val.czxid;
            name = names.ptr[i];
            path = candidate;
        }
    }
    if (path.ptr == NULL) {
        printf("nobody stands below %s/candidates\n", root);
        fflush(stdout);
        return true;
    }

    innkeeper_guest_transaction_create_options_t options = {0};
    if (!innkeeper_guest_transaction_owner(&path, &options.ephemeral, &code))
        return fail(err, "the binding does not grant the candidates' paths");
    recipe_list_u8_t data = {name.ptr, name.len};
    recipe_string_t created;
    if (!innkeeper_guest_transaction_create(&leader, &data, &options, &created, &code))
        return fail(err, "the leader's znode cannot be created");

    recipe_string_t message;
    snprintf(text, sizeof text, "%.*s leads now", (int)name.len, (const char *)name.ptr);
    recipe_string_dup(&message, text);
    innkeeper_guest_log_log(INNKEEPER_GUEST_LOG_LEVEL_INFO, &message);
    return true;
}
