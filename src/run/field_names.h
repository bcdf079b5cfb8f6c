/* field_names: names of fields in header lines that this version does not know. Each is logged once. */
#ifndef RUN_FIELD_NAMES_H
#define RUN_FIELD_NAMES_H

#define FIELD_NAMES_MAX 64 /* names that are remembered: more of them are hardly AWS's */

struct field_names {
    char name[FIELD_NAMES_MAX][48]; /* longer ones are cut: no name of AWS's comes near */
    unsigned count;
};

/* `list` has single spaces between the names. */
void field_names_report(struct field_names *known, const char *source, const char *list);

#endif
