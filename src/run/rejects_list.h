/* rejects_list: the files of a rejects' directory, oldest first. */
#ifndef RUN_REJECTS_LIST_H
#define RUN_REJECTS_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REJECTS_NAME_MAX 48

struct rejects_file {
    uint64_t size; /* on the disk */
    char name[REJECTS_NAME_MAX];
};

/* Zero-initialised ({0}) is valid and empty. */
struct rejects_list {
    struct rejects_file *file; /* a ring */
    size_t capacity, oldest, count;
    uint64_t bytes; /* of all of them, on the disk */
};

/* rejects-YYYYMMDDTHHMMSS.mmmZ-NNNNNN.payload, .json or .txt */
bool rejects_is_name(const char *name);
/* A file fills whole blocks. */
uint64_t rejects_disk_size(uint64_t bytes);

/* 0, or -1: no memory. */
int rejects_list_reserve(struct rejects_list *list, size_t more);
int rejects_list_add(struct rejects_list *list, const char *name, uint64_t bytes);
/* By name, and so by time: needed where they were not added in that order. */
void rejects_list_sort(struct rejects_list *list);
const char *rejects_list_oldest(const struct rejects_list *list); /* there is one */
void rejects_list_remove_oldest(struct rejects_list *list);
void rejects_list_free(struct rejects_list *list);

#endif
