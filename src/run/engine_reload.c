#include "run/engine_impl.h"

int engine_open_rejects(const struct conf_rejects *conf, struct rejects_store **ret, struct error *ret_err)
{
    if (conf == NULL || conf->directory == NULL)
        return 0;
    *ret = rejects_store_open(conf, ret_err);
    return *ret == NULL ? -1 : 0;
}

int engine_prepare(struct engine *e, struct conf *conf, struct error *ret_err)
{
    const struct delivery_ops *ops = e->delivery->ops;
    struct rejects_store *rejects = NULL;

    if (engine_open_rejects(&conf->rejects, &rejects, ret_err) != 0)
        return -1;
    if (ops->prepare != NULL && ops->prepare(e->delivery, conf, ret_err) != 0) {
        rejects_store_free(rejects);
        return -1;
    }
    e->next = conf_ref(conf);
    e->next_rejects = rejects;
    return 0;
}

void engine_commit(struct engine *e)
{
    if (e->delivery->ops->commit != NULL)
        e->delivery->ops->commit(e->delivery);
    rejects_store_free(e->rejects);
    e->rejects = e->next_rejects;
    e->next_rejects = NULL;
    conf_unref(e->settings.conf);
    e->settings.conf = e->next;
    e->next = NULL;
    duplicates_set_window(e->duplicates, e->settings.conf->listener.duplicate_window);
    patience_set(&e->patience, e->settings.conf->listener.busy_timeout);
}

void engine_cancel(struct engine *e)
{
    if (e->delivery->ops->cancel != NULL)
        e->delivery->ops->cancel(e->delivery);
    rejects_store_free(e->next_rejects);
    e->next_rejects = NULL;
    conf_unref(e->next);
    e->next = NULL;
}
