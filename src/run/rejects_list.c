#include "run/rejects_list.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096
#define CAPACITY_MIN 64

bool rejects_is_name(const char *name)
{
    static const char pattern[] = "rejects-00000000T000000.000Z-000000.";
    size_t n = sizeof(pattern) - 1;

    for (size_t i = 0; i < n; i++)
        if (pattern[i] == '0' ? name[i] < '0' || name[i] > '9' : name[i] != pattern[i])
            return false; /* a shorter name ends here */
    return strcmp(name + n, "payload") == 0 || strcmp(name + n, "json") == 0 || strcmp(name + n, "txt") == 0;
}

uint64_t rejects_disk_size(uint64_t bytes)
{
    return bytes == 0 ? BLOCK : (bytes + BLOCK - 1) / BLOCK * BLOCK;
}

int rejects_list_reserve(struct rejects_list *list, size_t more)
{
    size_t capacity = list->capacity == 0 ? CAPACITY_MIN : list->capacity;
    struct rejects_file *file;

    while (capacity < list->count + more)
        capacity *= 2;
    if (capacity == list->capacity)
        return 0;
    file = malloc(capacity * sizeof(*file));
    if (file == NULL)
        return -1;
    assert(list->count == 0 || list->capacity != 0);
    for (size_t i = 0; i < list->count; i++)
        file[i] = list->file[(list->oldest + i) % list->capacity];
    free(list->file);
    list->file = file;
    list->capacity = capacity;
    list->oldest = 0;
    return 0;
}

int rejects_list_add(struct rejects_list *list, const char *name, uint64_t bytes)
{
    struct rejects_file *file;

    if (rejects_list_reserve(list, 1) != 0)
        return -1;
    file = &list->file[(list->oldest + list->count) % list->capacity];
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->size = rejects_disk_size(bytes);
    list->bytes += file->size;
    list->count++;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct rejects_file *)a)->name, ((const struct rejects_file *)b)->name);
}

void rejects_list_sort(struct rejects_list *list)
{
    if (list->count != 0) /* nothing was removed yet: the oldest is the first */
        qsort(list->file, list->count, sizeof(*list->file), compare);
}

const char *rejects_list_oldest(const struct rejects_list *list)
{
    return list->file[list->oldest].name;
}

void rejects_list_remove_oldest(struct rejects_list *list)
{
    list->bytes -= list->file[list->oldest].size;
    list->oldest = (list->oldest + 1) % list->capacity;
    list->count--;
}

void rejects_list_free(struct rejects_list *list)
{
    free(list->file);
    *list = (struct rejects_list){0};
}
