/* The plugin's table of the configuration, [plugins.by-account.config], which the host hands over as JSON. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text that is kept for as long as the instance lives. */
struct text {
    const uint8_t *ptr;
    size_t len;
};

struct entry {
    struct text key, value;
};

struct table {
    struct entry *entries;
    size_t count;
};

struct settings {
    /* [account]: from the value of X-Account to the next hop. */
    struct table account;
    /* [line]: from the parameter `line` of the Request-URI to the account. */
    struct table line;
};

/* Reads the JSON. Where it is not as it should be, false, and one line about it with the key in `error`, which has room for `size`
 * octets with the one that ends it. */
bool settings_read(struct settings *settings, const uint8_t *json, size_t len, char *error, size_t size);

/* The value that belongs to a key; none if the table does not have it. */
const struct text *table_find(const struct table *table, const uint8_t *key, size_t len);

#endif
