"Extensions from outside the package: each is one object, and whatever lists its kind lists it."

def test_a_metric():
    "A score of one's own is computed, stored, and shown, with the one that real images get."
    from urepa.data.images import fashion
    from urepa.score.evaluate import Metric,describe,evaluate,fashion_nets,score_table,standard
    def brightness(samples, reference): return (samples.pool.mean-reference.pool.mean).norm().item()
    mine = Metric('shift', 'distance of the means', brightness)
    result = evaluate(fashion('train')[0][:60], nets=fashion_nets()[1:], metrics=(*standard, mine))
    row = next(o for o in score_table(result) if o.key=='shift')
    assert row.title=='distance of the means, autoencoder' and 0<row.value<100 and row.real>0
    assert row.title in describe(result)
