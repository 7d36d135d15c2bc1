const PRICES = {book: 19.9, lamp: 45};
const STOCK = 3;
const A_DAY = 24 * 60 * 60;

function products(mc) {
    answer(mc, 200, Object.keys(PRICES).map(name => ({name, price: PRICES[name], left: STOCK - sold(mc, name)})));
}

function order(mc) {
    const {product, quantity = 1} = mc.getPayloadJSON();
    if (!(product in PRICES)) {
        return answer(mc, 400, {error: `there is no product ${product}`});
    }
    // Counting first and looking afterwards: of two orders for the last book, one gets it.
    if (mc.store.counter('sold/' + product, quantity) > STOCK) {
        mc.store.counter('sold/' + product, -quantity);
        return answer(mc, 409, {error: `${product} is sold out`, left: STOCK - sold(mc, product)});
    }
    const id = mc.store.counter('orders');
    const order = {id, product, quantity, total: PRICES[product] * quantity};
    mc.store.set('order/' + id, order, {seconds: A_DAY});
    mc.setProperty('Location', '/shop/orders/' + id, 'transport');
    answer(mc, 201, order);
}

function list(mc) {
    const orders = mc.store.list('order/').map(key => mc.store.get(key));
    answer(mc, 200, orders.filter(order => order.product === mc.query.product));
}

function show(mc) {
    const order = mc.store.get('order/' + mc.getProperty('uri.var.id'));
    answer(mc, order ? 200 : 404, order || {error: 'there is no such order'});
}

function cancel(mc) {
    const key = 'order/' + mc.getProperty('uri.var.id');
    const order = mc.store.get(key);
    if (!order) {
        return answer(mc, 404, {error: 'there is no such order'});
    }
    mc.store.delete(key);
    mc.store.counter('sold/' + order.product, -order.quantity);
    mc.setProperty('HTTP_SC', '204');
}

function sold(mc, product) {
    return mc.store.get('sold/' + product) || 0;
}

function answer(mc, status, body) {
    mc.setProperty('HTTP_SC', String(status));
    mc.setProperty('CONTENT_TYPE', 'application/json');
    mc.setPayloadJSON(body);
}
