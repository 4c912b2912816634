/* A reader for the JSON of this plugin's table: objects of objects of strings, and nothing else. */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    const uint8_t *at, *end;
};

static void skip_space(struct reader *json) {
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r')) json->at++;
}

/* Whether the next character is this one, which is then passed. */
static bool take(struct reader *json, uint8_t wanted) {
    skip_space(json);
    if (json->at == json->end || *json->at != wanted) return false;
    json->at++;
    return true;
}

static bool hexadecimal(struct reader *json, uint32_t *number) {
    *number = 0;
    if (json->end - json->at < 4) return false;
    for (int digit = 0; digit < 4; digit++, json->at++) {
        uint8_t c = *json->at | 0x20;
        if (c >= '0' && c <= '9') *number = *number * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f') *number = *number * 16 + (c - 'a' + 10);
        else return false;
    }
    return true;
}

/* What stands behind a backslash. The host writes control characters so, and everything else as UTF-8. */
static bool escaped(struct reader *json, uint8_t *to) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (json->at == json->end) return false;
    uint8_t name = *json->at++;
    if (name == 'u') {
        uint32_t number;
        if (!hexadecimal(json, &number) || number > 0x7f) return false;
        *to = (uint8_t)number;
        return true;
    }
    const char *found = name ? strchr(names, name) : NULL;
    if (!found) return false;
    *to = (uint8_t)values[found - names];
    return true;
}

static bool string(struct reader *json, struct text *text) {
    if (!take(json, '"')) return false;
    /* No text is longer than what is left of the JSON. */
    uint8_t *to = malloc((size_t)(json->end - json->at) + 1);
    if (!to) return false;
    text->ptr = to;
    while (json->at < json->end && *json->at != '"') {
        uint8_t c = *json->at++;
        if (c == '\\' && !escaped(json, &c)) return false;
        *to++ = c;
    }
    text->len = (size_t)(to - text->ptr);
    text->ptr = realloc((void *)text->ptr, text->len + 1);
    return text->ptr && take(json, '"');
}

static bool add(struct table *table, struct entry entry) {
    struct entry *entries = realloc(table->entries, (table->count + 1) * sizeof(struct entry));
    if (!entries) return false;
    table->entries = entries;
    table->entries[table->count++] = entry;
    return true;
}

/* Appends to the line about what is wrong, as far as there is room. */
static void say(char *error, size_t size, const void *text, size_t len) {
    size_t used = strlen(error), room = size - used - 1;
    if (len > room) len = room;
    memcpy(error + used, text, len);
    error[used + len] = 0;
}

static bool read_table(struct reader *json, struct table *table, char *error, size_t size, struct text name) {
    say(error, size, name.ptr, name.len);
    if (take(json, '{')) {
        if (take(json, '}')) return true;
        do {
            struct entry entry;
            if (!string(json, &entry.key) || !take(json, ':')) break;
            if (!string(json, &entry.value)) {
                say(error, size, ".", 1);
                say(error, size, entry.key.ptr, entry.key.len);
                say(error, size, ": a string is wanted", 20);
                return false;
            }
            if (!add(table, entry)) break;
        } while (take(json, ','));
        if (take(json, '}')) return true;
    }
    say(error, size, ": a table is wanted", 19);
    return false;
}

static bool same(struct text one, const char *other) {
    return one.len == strlen(other) && memcmp(one.ptr, other, one.len) == 0;
}

bool settings_read(struct settings *settings, const uint8_t *json, size_t len, char *error, size_t size) {
    struct reader reader = {json, json + len};
    memset(settings, 0, sizeof *settings);
    error[0] = 0;
    bool has_account = false;
    if (!take(&reader, '{')) return false;
    if (!take(&reader, '}')) {
        do {
            struct text name;
            if (!string(&reader, &name) || !take(&reader, ':')) return false;
            struct table *table = same(name, "account") ? &settings->account : same(name, "line") ? &settings->line : NULL;
            if (!table) {
                say(error, size, name.ptr, name.len);
                say(error, size, ": unknown key; there are account and line", 41);
                return false;
            }
            if (!read_table(&reader, table, error, size, name)) return false;
            error[0] = 0;
            has_account = has_account || table == &settings->account;
        } while (take(&reader, ','));
    }
    if (!has_account) say(error, size, "account: this table is missing", 30);
    return has_account;
}

const struct text *table_find(const struct table *table, const uint8_t *key, size_t len) {
    for (size_t at = 0; at < table->count; at++) {
        const struct entry *entry = &table->entries[at];
        if (entry->key.len == len && memcmp(entry->key.ptr, key, len) == 0) return &entry->value;
    }
    return NULL;
}
