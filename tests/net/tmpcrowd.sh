. "$(dirname "$0")/lib.sh"
. "$here/firewall.sh"
setup
internet
walled_site 1 public; walled_site 6 symmetric
outsider crowd 1
eval "$(sed -n '/^CROWD=/p;/^crowd()/,/^}/p;/^crowd_over()/,/^}/p;/^half_open()/,/^}/p;/^trickling()/,/^}/p' $here/test_limited.sh)"
cat > $WORK/srv.py <<'E'
import asyncio,sys
async def h(r,w):
    try:
        d=await asyncio.wait_for(r.read(10),3)
    except Exception: pass
    w.close()
async def main():
    s=await asyncio.start_server(h,'0.0.0.0',8463,backlog=512)
    await s.serve_forever()
asyncio.run(main())
E
spawn srv gw1 sh -c "ulimit -n 30000; exec $PYTHON $WORK/srv.py"
wait_for 5 listening gw1 8463
for way in silent drip get tls; do
 now_ms a; check "crowd $way" crowd 8463 $way; now_ms b; echo "$((b-a)) ms; established at server: $(on gw1 ss -Htn state established | wc -l)"
 crowd_over
done
half_open
check "half" crowd 8463 silent; echo "syn-recv: $(on gw1 ss -Htn state syn-recv | wc -l)"; crowd_over
# trickle
mkdir $WORK/www; head -c 3000000 /dev/urandom > $WORK/www/f
end $(ps -o pid= -p $spawned) 2>/dev/null
check tr trickling
http_server gw1 $WORK/www 443
check "fast" eval "on gw6 curl -fsS --max-time 5 -o $WORK/f http://$(wan4 1):443/f && cmp $WORK/f $WORK/www/f"
echo 100000 > $WORK/rate; on gw6 curl -sS --max-time 3 -o $WORK/f -w '%{size_download} in %{time_total}\n' http://$(wan4 1):443/f
echo 1 > $WORK/rate; on gw6 curl -sS --max-time 5 -o $WORK/f -w '%{size_download} in %{time_total}\n' http://$(wan4 1):443/f
echo 0 > $WORK/rate; spawn c gw6 curl -sS --max-time 10 -o $WORK/f http://$(wan4 1):443/f; wait_for 3 eval "on gw1 ss -Htnm 'sport = :443' | grep -q ESTAB"; on gw1 ss -Htnm 'sport = :443'; : > $WORK/rate; wait $spawned; echo rc $?; cmp $WORK/f $WORK/www/f && echo same
finish
