#include "vpcflowd/conf.h"

/* After a mismatch, the last * takes one byte more and matching goes on behind it. Going back to earlier
 * stars never helps, so the cost is at most pattern times text. */
bool conf_glob(const char *pattern, struct slice text)
{
    const char *star = NULL;
    size_t i = 0, star_at = 0;

    while (i < text.len) {
        if (*pattern == '*') {
            star = ++pattern;
            star_at = i;
        } else if (*pattern == '?' || (*pattern != '\0' && *pattern == text.ptr[i])) {
            pattern++;
            i++;
        } else if (star != NULL) {
            pattern = star;
            i = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
