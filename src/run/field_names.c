#include "run/field_names.h"

#include <stdio.h>
#include <string.h>

#include "vpcflowd/log.h"

static void report(struct field_names *known, const char *source, const char *text, size_t len)
{
    char name[sizeof(known->name[0])];

    snprintf(name, sizeof(name), "%.*s", (int)len, text);
    for (unsigned i = 0; i < known->count; i++)
        if (strcmp(known->name[i], name) == 0)
            return;
    if (known->count == FIELD_NAMES_MAX)
        return;
    memcpy(known->name[known->count++], name, sizeof(name));
    log_warning("%s: header: \"%s\" is no field that this version knows: its values are passed over", source,
                name);
    if (known->count == FIELD_NAMES_MAX)
        log_warning("no further names of fields will be reported");
}

void field_names_report(struct field_names *known, const char *source, const char *list)
{
    while (*list != '\0') {
        size_t len = strcspn(list, " ");

        report(known, source, list, len);
        list += len;
        list += strspn(list, " ");
    }
}
