// An authorizer: while the policy's znode says `frozen`, nothing may be changed.
//
// The binding's config is the path of that znode. Reads pass, and so does everything while the
// znode is absent or says anything else.

#include "authorizer.h"

#include <stdio.h>
#include <string.h>

static bool frozen;

bool exports_authorizer_load(authorizer_string_t *err) {
    // One JSON string without escapes: "/policies/freeze".
    authorizer_string_t path;
    innkeeper_guest_config_get(&path);
    if (path.len < 2 || path.ptr[0] != '"') {
        authorizer_string_dup(err, "config is not a path as a JSON string");
        return false;
    }
    path.ptr += 1;
    path.len -= 2;

    innkeeper_guest_policy_option_znode_t znode;
    innkeeper_guest_policy_error_t code;
    if (!innkeeper_guest_policy_get(&path, &znode, &code)) {
        authorizer_string_dup(err, "the binding does not declare its policy's path");
        return false;
    }
    frozen = znode.is_some && znode.val.data.len == 6 &&
             memcmp(znode.val.data.ptr, "frozen", 6) == 0;
    return true;
}

static bool changes(innkeeper_guest_authorization_operation_t operation) {
    switch (operation) {
    case INNKEEPER_GUEST_AUTHORIZATION_OPERATION_CREATE:
    case INNKEEPER_GUEST_AUTHORIZATION_OPERATION_DELETE:
    case INNKEEPER_GUEST_AUTHORIZATION_OPERATION_SET_DATA:
    case INNKEEPER_GUEST_AUTHORIZATION_OPERATION_SET_ACL:
        return true;
    default:
        return false;
    }
}

void exports_authorizer_decide(authorizer_request_t *request, authorizer_decision_t *ret) {
    ret->tag = INNKEEPER_GUEST_AUTHORIZATION_DECISION_ALLOW;
    if (frozen && changes(request->operation)) {
        char reason[256];
        snprintf(reason, sizeof reason, "%.*s is frozen", (int)request->path.len,
                 (const char *)request->path.ptr);
        ret->tag = INNKEEPER_GUEST_AUTHORIZATION_DECISION_DENY;
        ret->val.deny.is_some = true;
        authorizer_string_dup(&ret->val.deny.val, reason);
    }
    // This instance serves many requests: what it was handed goes back.
    innkeeper_guest_authorization_request_free(request);
}
